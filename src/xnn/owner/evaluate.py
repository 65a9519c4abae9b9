"""The owner tests what came back from the cloud: by person, by image and by a list of pairs.

Trust: owner. Needs the photographs, the key the tail was trained under, and the truth.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64

from xnn.errors import InsufficientDataError
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, Sample, Split
from xnn.faces.pairs import Pair
from xnn.metrics.evaluation import Evaluation, evaluate_embeddings, evaluate_pairs
from xnn.models.tail import Tail
from xnn.owner.binding import obfuscator_for
from xnn.owner.build import read_samples
from xnn.schemes import Obfuscator, Statistics
from xnn.secret import SecretKey

PROTOCOLS: dict[Split, str] = {"test_by_person": "by_person", "test_by_image": "by_image"}


def evaluate_tail(
    tail: Tail,
    faces: FaceSet,
    extractor: Extractor,
    key: SecretKey,
    *,
    statistics: Statistics | None = None,
    pairs: Sequence[Pair] = (),
    generator: np.random.Generator,
    on_records: Callable[[int], None] | None = None,
) -> tuple[Evaluation, ...]:
    """Test a tail on the test splits of a face set, and on pairs.

    The tail is with the owner again and the photographs never left, so that the keyed features are
    used without a scheme's noise.

    Args:
        tail: What the cloud returned, trained under `key` (`key.require(key_id=..)` tells).
        faces: Divided into splits; only the test splits are used.
        extractor: The one the key was made for.
        key: The one the tail was trained under.
        statistics: Of the key (`load_statistics`), if its scheme is a fitted one.
        pairs: Evaluated as they are, if any.
        generator: Source of the resamples.
        on_records: Told how many more crops are done.

    Raises:
        KeyMismatchError: The key is for another extractor.
        InsufficientDataError: There is nothing to test on.
    """
    obfuscator = obfuscator_for(key, extractor, statistics)
    results = []
    for split, protocol in PROTOCOLS.items():
        part = faces.only(split)
        if part.samples:
            embeddings = embed_samples(
                part.samples, extractor, obfuscator, tail, on_records=on_records
            )
            labels = number_subjects(part.samples)
            results.append(
                evaluate_embeddings(embeddings, labels, protocol=protocol, generator=generator)
            )
    if pairs:
        results.append(_evaluate_pairs(pairs, extractor, obfuscator, tail, generator, on_records))
    if not results:
        raise InsufficientDataError(
            f"{faces.name!r} has no test samples; divide it with `xnn faces split` before building"
        )
    return tuple(results)


@torch.no_grad()
def embed_samples(
    samples: Sequence[Sample],
    extractor: Extractor,
    obfuscator: Obfuscator,
    tail: Tail,
    *,
    on_records: Callable[[int], None] | None = None,
) -> Float32[np.ndarray, "b e"]:
    """Return the embedding of each sample, not normalised: extractor, key without noise, tail."""
    tail.eval()
    parts = []
    for crops in read_samples(samples):
        records = obfuscator.without_noise(extractor.tokens(torch.from_numpy(crops)))
        parts.append(tail(records).numpy())
        if on_records:
            on_records(len(crops))
    return np.concatenate(parts)


def number_subjects(samples: Sequence[Sample]) -> Int64[np.ndarray, " b"]:
    """Return a number for the subject of each sample, by sorted name."""
    subjects = sorted({sample.subject for sample in samples})
    numbers = {subject: number for number, subject in enumerate(subjects)}
    return np.array([numbers[sample.subject] for sample in samples], dtype=np.int64)


def _evaluate_pairs(
    pairs: Sequence[Pair],
    extractor: Extractor,
    obfuscator: Obfuscator,
    tail: Tail,
    generator: np.random.Generator,
    on_records: Callable[[int], None] | None,
) -> Evaluation:
    samples = sorted({s for p in pairs for s in (p.first, p.second)}, key=lambda s: str(s.path))
    row = {sample: i for i, sample in enumerate(samples)}
    embeddings = embed_samples(samples, extractor, obfuscator, tail, on_records=on_records)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = number_subjects(samples)
    first = np.array([row[pair.first] for pair in pairs])
    second = np.array([row[pair.second] for pair in pairs])
    scores = np.sum(embeddings[first] * embeddings[second], axis=1)
    return evaluate_pairs(
        scores, labels[first], labels[second], protocol="pairs", generator=generator
    )
