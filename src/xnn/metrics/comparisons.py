"""Lists of comparisons: the score of each pair and the subjects it is about."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from xnn.errors import ConfigError, InsufficientDataError
from xnn.metrics._checks import check_same_length, check_scores
from xnn.metrics.identification import cosine_scores

_BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparisons:
    """Scores of pairs, split by truth, with the subjects that the bootstrap resamples."""

    mated: Float[np.ndarray, " m"]
    """Scores of same-subject pairs; higher = more alike."""
    mated_subjects: Integer[np.ndarray, " m"]
    """The one subject of each mated pair."""
    non_mated: Float[np.ndarray, " k"]
    """Scores of different-subject pairs, same scale."""
    non_mated_subjects: Integer[np.ndarray, "k 2"]
    """The two subjects of each non-mated pair."""

    def __post_init__(self) -> None:
        check_scores("mated", self.mated)
        check_scores("non_mated", self.non_mated)
        check_same_length("mated_subjects", len(self.mated_subjects), "mated", len(self.mated))
        check_same_length(
            "non_mated_subjects", len(self.non_mated_subjects), "non_mated", len(self.non_mated)
        )


def pair_comparisons(
    scores: Float[np.ndarray, " p"],
    first_labels: Integer[np.ndarray, " p"],
    second_labels: Integer[np.ndarray, " p"],
) -> Comparisons:
    """Split a list of scored pairs, such as a pairs file, into mated and non-mated.

    Raises:
        InsufficientDataError: There is no mated or no non-mated pair.
        ShapeError: The lengths differ, or a score is NaN or infinite.
    """
    check_same_length("first_labels", len(first_labels), "scores", len(scores))
    check_same_length("second_labels", len(second_labels), "scores", len(scores))
    mated = first_labels == second_labels
    return Comparisons(
        mated=scores[mated],
        mated_subjects=first_labels[mated],
        non_mated=scores[~mated],
        non_mated_subjects=np.stack([first_labels[~mated], second_labels[~mated]], axis=1),
    )


def search_comparisons(
    scores: Float[np.ndarray, "q g"],
    probe_labels: Integer[np.ndarray, " q"],
    gallery_labels: Integer[np.ndarray, " g"],
) -> Comparisons:
    """List every probe against every reference, as verification comparisons.

    Raises:
        InsufficientDataError: There is no mated or no non-mated pair.
        ShapeError: The shapes do not fit, or a score is NaN or infinite.
    """
    check_scores("scores", scores, ndim=2)
    check_same_length("probe_labels", len(probe_labels), "rows of scores", scores.shape[0])
    check_same_length("gallery_labels", len(gallery_labels), "columns of scores", scores.shape[1])
    first = np.repeat(probe_labels, len(gallery_labels))
    second = np.tile(gallery_labels, len(probe_labels))
    return pair_comparisons(scores.ravel(), first, second)


def all_pairs_scores(
    embeddings: Float[np.ndarray, "n e"],
    labels: Integer[np.ndarray, " n"],
    *,
    max_non_mated: int | None = None,
    generator: np.random.Generator | None = None,
) -> Comparisons:
    """Compare every image with every other by cosine, each pair once.

    Args:
        embeddings: One row per image, any scale, no zero row.
        labels: Subject of each image.
        max_non_mated: Keep about this many non-mated pairs, each with the same chance; None keeps
            all (2,000 images give 2 million).
        generator: Source of that choice; needed only with `max_non_mated`.

    Raises:
        ConfigError: `max_non_mated` without a generator, or less than 1.
        InsufficientDataError: No subject has two images, or there is one subject only.
        ShapeError: The lengths differ, or an embedding is zero, NaN or infinite.
    """
    check_same_length("labels", len(labels), "embeddings", len(embeddings))
    keep_share = _share_to_keep(labels, max_non_mated)
    if keep_share < 1 and generator is None:
        raise ConfigError("max_non_mated chooses pairs at random; give a generator")
    scores, rows, columns = [], [], []
    for start in range(0, len(labels), _BLOCK_ROWS):
        block = cosine_scores(embeddings[start : start + _BLOCK_ROWS], embeddings[start:])
        wanted = np.triu(np.ones(block.shape, dtype=bool), k=1)
        if keep_share < 1 and generator is not None:
            mated = labels[start : start + _BLOCK_ROWS, None] == labels[None, start:]
            wanted &= mated | (generator.random(block.shape) < keep_share)
        row, column = np.nonzero(wanted)
        scores.append(block[row, column])
        rows.append(labels[row + start])
        columns.append(labels[column + start])
    return pair_comparisons(np.concatenate(scores), np.concatenate(rows), np.concatenate(columns))


def _share_to_keep(labels: Integer[np.ndarray, " n"], max_non_mated: int | None) -> float:
    num_images, sizes = len(labels), np.unique(labels, return_counts=True)[1]
    if len(sizes) < 2 or sizes.max() < 2:
        raise InsufficientDataError(
            f"got {num_images} images of {len(sizes)} subjects, expected at least 2 subjects, "
            "one of them with 2 images; add images"
        )
    if max_non_mated is None:
        return 1.0
    if max_non_mated < 1:
        raise ConfigError(f"max_non_mated={max_non_mated} must be at least 1, or None for all")
    num_non_mated = (num_images**2 - int(np.sum(sizes**2))) // 2
    return min(1.0, max_non_mated / num_non_mated)
