"""Recognition of the validation subjects, who are in neither training nor test."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64

from xnn.errors import InsufficientDataError
from xnn.metrics import (
    all_pairs_scores,
    cosine_scores,
    equal_error_rate,
    gallery_and_probes,
    rank_k,
)
from xnn.models.tail import Tail
from xnn.training.source import RecordSource

_NUM_GALLERIES = 5
_MAX_NON_MATED = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScores:
    """How well a tail tells the validation subjects apart; both are fractions."""

    rank_1: float
    """Closed-set rank-1 with one reference per subject, the mean over several galleries."""
    eer: float
    """Equal error rate over all pairs, or half a million of the non-mated ones."""

    def better_than(self, other: "ValidationScores | None") -> bool:
        """Say whether these win: higher rank-1, then lower EER; a full tie keeps the earlier."""
        if other is None:
            return True
        return (self.rank_1, -self.eer) > (other.rank_1, -other.eer)


def validate(
    tail: Tail, source: RecordSource, *, batch_size: int = 512, device: torch.device | str = "cpu"
) -> ValidationScores:
    """Score a tail on the validation records.

    Args:
        tail: On `device`; its mode is restored afterwards.
        source: At least two subjects, one of them with two records.
        batch_size: Records per forward pass.
        device: Where the tail is.
    """
    embeddings = embed(tail, source, batch_size=batch_size, device=device)
    labels = source.labels
    pairs = all_pairs_scores(
        embeddings, labels, max_non_mated=_MAX_NON_MATED, generator=np.random.default_rng(0)
    )
    return ValidationScores(
        rank_1=mean_rank_1(embeddings, labels),
        eer=equal_error_rate(pairs.mated, pairs.non_mated),
    )


def check_validation(source: RecordSource) -> None:
    """Refuse validation records that cannot be searched, before training begins.

    Raises:
        InsufficientDataError: Fewer than two subjects, or none with two records.
    """
    try:
        gallery_and_probes(source.labels)
    except InsufficientDataError as error:
        raise InsufficientDataError(f"validation split: {error}") from error


@torch.no_grad()
def embed(
    tail: Tail, source: RecordSource, *, batch_size: int = 512, device: torch.device | str = "cpu"
) -> Float32[np.ndarray, "records e"]:
    """Return the embedding of every record of a source, in float32, not normalised."""
    was_training = tail.training
    tail.eval()
    parts = []
    for start in range(0, len(source), batch_size):
        indices = np.arange(start, min(start + batch_size, len(source)))
        records = torch.from_numpy(np.ascontiguousarray(source.read(indices)))
        parts.append(tail(records.to(device)).float().cpu().numpy())
    tail.train(was_training)
    return np.concatenate(parts)


def mean_rank_1(
    embeddings: Float32[np.ndarray, "records e"], labels: Int64[np.ndarray, " records"]
) -> float:
    """Return closed-set rank-1, averaged over galleries of one reference per subject.

    Gallery r enrols the r-th record from the end of each subject, counting round. One gallery is
    the protocol of the evaluation; the mean over a few is steadier for choosing a model.
    """
    galleries = galleries_of(labels)
    hits = []
    for gallery in galleries:
        probes = np.setdiff1d(np.arange(len(labels)), gallery)
        scores = cosine_scores(embeddings[probes], embeddings[gallery])
        hits.append(rank_k(scores, labels[probes], labels[gallery]))
    return float(np.mean(hits))


def galleries_of(labels: Int64[np.ndarray, " records"]) -> Int64[np.ndarray, "r s"]:
    """Return the records of each gallery, a row per gallery; see `mean_rank_1`."""
    order = np.argsort(labels, kind="stable")
    _, counts = np.unique(labels, return_counts=True)
    last = np.cumsum(counts) - 1
    num_galleries = min(_NUM_GALLERIES, int(counts.max()))
    return np.stack([order[last - r % counts] for r in range(num_galleries)])
