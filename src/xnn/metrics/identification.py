"""Closed-set search of one gallery: scores, ranks, CMC.

Closed set: every probe's subject has a reference in the gallery. Rates for people who may not be
enrolled (open set) are another matter and not measured here.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics._checks import check_same_length, check_scores


def cosine_scores(
    probes: Float[np.ndarray, "q e"], gallery: Float[np.ndarray, "g e"]
) -> Float[np.ndarray, "q g"]:
    """Return the cosine of the angle between every probe and every reference.

    Args:
        probes: Embeddings of any scale, no zero row.
        gallery: The same, same width.

    Returns:
        Scores in [-1, 1] but for rounding; higher = more alike. The type of the input is kept.

    Raises:
        InsufficientDataError: One of the two is empty.
        ShapeError: The widths differ, or an embedding is zero, NaN or infinite.
    """
    _check_embeddings(probes, gallery)
    return _unit("probes", probes) @ _unit("gallery", gallery).T


def euclidean_scores(
    probes: Float[np.ndarray, "q e"], gallery: Float[np.ndarray, "g e"]
) -> Float[np.ndarray, "q g"]:
    """Return minus the Euclidean distance between every probe and every reference.

    One matrix product in float64, since |p - g|^2 = |p|^2 - 2 p.g + |g|^2 loses digits when the
    distance is small beside the lengths.

    Args:
        probes: Embeddings as the tail gives them, not normalised.
        gallery: The same, same width.

    Returns:
        Scores <= 0; higher = more alike; 0 = equal. float64.

    Raises:
        InsufficientDataError: One of the two is empty.
        ShapeError: The widths differ, or a value is NaN or infinite.

    Source: the distance of the XNN authors' research code; train on cosines, prefer cosines.
    """
    _check_embeddings(probes, gallery)
    centre = gallery.mean(axis=0, dtype=np.float64)  # distances stay, lengths shrink
    p, g = probes - centre, gallery - centre
    squared = np.sum(p * p, axis=1)[:, None] - 2.0 * (p @ g.T) + np.sum(g * g, axis=1)[None, :]
    return -np.sqrt(np.maximum(squared, 0.0))


def mated_ranks(
    scores: Float[np.ndarray, "q g"],
    probe_labels: Integer[np.ndarray, " q"],
    gallery_labels: Integer[np.ndarray, " g"],
) -> Int[np.ndarray, " q"]:
    """Return the rank at which each probe finds its own subject; 1 = first.

    A tie counts against the system: every reference of another subject that scores as high as
    the best reference of the right one stands before it.

    Args:
        scores: Probe by reference, higher = more alike.
        probe_labels: Subject of each probe.
        gallery_labels: Subject of each reference; usually each subject once.

    Returns:
        1 + the number of references of other subjects that score at least as high.

    Raises:
        InsufficientDataError: A probe's subject is not in the gallery, or there are no scores.
        ShapeError: The shapes do not fit, or a score is NaN or infinite.
    """
    check_scores("scores", scores, ndim=2)
    check_same_length("probe_labels", len(probe_labels), "rows of scores", scores.shape[0])
    check_same_length("gallery_labels", len(gallery_labels), "columns of scores", scores.shape[1])
    mated: Bool[np.ndarray, "q g"] = probe_labels[:, None] == gallery_labels[None, :]
    num_missing = int(np.sum(~mated.any(axis=1)))
    if num_missing:
        raise InsufficientDataError(
            f"{num_missing} of {len(scores)} probes have no reference of their subject, expected "
            "none (closed set); drop those probes or enrol their subjects"
        )
    best = np.max(scores, axis=1, initial=-np.inf, where=mated)
    return 1 + np.sum((scores >= best[:, None]) & ~mated, axis=1)


def rank_k(
    scores: Float[np.ndarray, "q g"],
    probe_labels: Integer[np.ndarray, " q"],
    gallery_labels: Integer[np.ndarray, " g"],
    *,
    k: int = 1,
) -> float:
    """Return the share of probes whose subject is among the first k; ties count against.

    Closed set; see `mated_ranks` for the arguments and the errors.

    Raises:
        ConfigError: `k` is outside 1..g.
    """
    _check_rank("k", k, scores.shape[-1])
    return float(np.mean(mated_ranks(scores, probe_labels, gallery_labels) <= k))


def cmc(
    scores: Float[np.ndarray, "q g"],
    probe_labels: Integer[np.ndarray, " q"],
    gallery_labels: Integer[np.ndarray, " g"],
    *,
    max_rank: int,
) -> Float[np.ndarray, " k"]:
    """Return the cumulative match characteristic: `rank_k` for k = 1..max_rank.

    Closed set; see `mated_ranks` for the arguments and the errors.

    Raises:
        ConfigError: `max_rank` is outside 1..g.
    """
    _check_rank("max_rank", max_rank, scores.shape[-1])
    ranks = mated_ranks(scores, probe_labels, gallery_labels)
    found_at = np.bincount(ranks, minlength=max_rank + 1)[1 : max_rank + 1]
    return np.cumsum(found_at) / len(ranks)


def gallery_and_probes(
    labels: Integer[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " g"], Int[np.ndarray, " q"]]:
    """Split test images into one reference per subject and the probes.

    Args:
        labels: Subject of each image, in the order of the list.

    Returns:
        Indices of the gallery (the last image of each subject, by rising label) and of the probes
        (all the others, in their order). A subject with one image is enrolled and has no probe.

    Raises:
        InsufficientDataError: Fewer than two subjects, or no subject has two images.

    Source: protocol of the XNN authors' research code: the last image of each list is enrolled.
    """
    subjects, first_from_behind = np.unique(labels[::-1], return_index=True)
    gallery = len(labels) - 1 - first_from_behind
    probes = np.setdiff1d(np.arange(len(labels)), gallery)
    if len(subjects) < 2 or len(probes) == 0:
        raise InsufficientDataError(
            f"got {len(labels)} images of {len(subjects)} subjects, expected at least 2 subjects, "
            "one of them with 2 images; add images"
        )
    return gallery, probes


def _check_rank(name: str, rank: int, gallery_size: int) -> None:
    if not 1 <= rank <= gallery_size:
        raise ConfigError(f"{name}={rank} is outside 1..{gallery_size}, the size of the gallery")


def _check_embeddings(probes: Float[np.ndarray, "q e"], gallery: Float[np.ndarray, "g f"]) -> None:
    check_scores("probes", probes, ndim=2)
    check_scores("gallery", gallery, ndim=2)
    if probes.shape[1] != gallery.shape[1]:
        raise ShapeError(
            f"probes are {probes.shape[1]} wide but the gallery is {gallery.shape[1]} wide; "
            "embed both with the same tail"
        )


def _unit(name: str, embeddings: Float[np.ndarray, "n e"]) -> Float[np.ndarray, "n e"]:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not lengths.all():
        raise ShapeError(
            f"{name} holds {int(np.sum(lengths == 0))} zero embeddings, which have no direction; "
            "look for a dead tail"
        )
    return embeddings / lengths
