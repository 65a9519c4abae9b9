"""From crops to shards: reading, extraction, obfuscation and writing, each while the others work.

Trust: owner. The only code that holds the photographs, the names and the key together.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from xnn.errors import ShapeError
from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crop
from xnn.faces.dataset import FaceSet, Sample
from xnn.owner.binding import obfuscator_for, record_shape_of
from xnn.owner.plan import BuildPlan, BuildSettings, Item, ShardPlan, labels_of, plan_build
from xnn.owner.statistics import NUM_MEASURED, statistics_of
from xnn.owner.subject_map import save_subject_map
from xnn.schemes import Obfuscator
from xnn.secret import KeyFile, SecretKey
from xnn.shards import Manifest, ShardWriter
from xnn.shards.arrow import encode_shard
from xnn.shards.manifest import SHARD_SPLITS

_READERS = 2
_BATCHES_AHEAD = 3
_SAMPLES_AT_ONCE = 64

Progress = Callable[[int], None]
"""Called with how many more records are done."""


def build_shards(
    faces: FaceSet,
    extractor: Extractor,
    keyfile: KeyFile,
    folder: Path,
    settings: BuildSettings | None = None,
    *,
    on_records: Progress | None = None,
) -> Manifest:
    """Turn the training and validation crops of a face set into shards.

    Killed at any moment and called again with the same arguments, it continues; the files are
    byte-identical to those of an undisturbed build on the same machine.

    Args:
        faces: Aligned crops, divided into splits; the test splits are never read.
        extractor: Must be the one the key was made for.
        keyfile: Opened key; its exposure counter is raised before the first record is written.
        folder: New, empty, or holding this very build unfinished.
        settings: Record type and sizes.
        on_records: Told how many more records are done.

    Returns:
        The manifest, which is written last.

    Raises:
        KeyMismatchError: The key was made for something else.
        InsufficientDataError: Too few subjects.
        FacesError: A crop is unreadable or not 112x112.
        ResumeError, OutputExistsError, StorageError: See `ShardWriter`.

    Trust: owner. Everything in `folder` may be uploaded; `<key file>.subjects` stays.
    """
    settings = settings or BuildSettings()
    key = keyfile.key
    key.require(extractor_digest=extractor.card.digest())
    plan = plan_build(faces, key, settings)
    writer = ShardWriter(folder, plan_digest=plan.digest)
    measured = functools.partial(_first_features, plan, extractor, settings.batch_size)
    obfuscator = obfuscator_for(key, extractor, statistics_of(keyfile, measured))
    save_subject_map(keyfile, plan.class_numbers)
    keyfile.count_exposure(plan.upload, plan.num_records)
    report = on_records or (lambda num_records: None)

    with ThreadPoolExecutor(1) as disk:
        pending: Future[None] | None = None
        for shard in plan.shards:
            if writer.has(shard.file):
                report(len(shard.items))
                continue
            tokens = _make_records(shard, extractor, obfuscator, settings.batch_size, report)
            if pending is not None:
                pending.result()
            pending = disk.submit(_write, writer, shard, tokens, settings)
        if pending is not None:
            pending.result()

    manifest = describe(extractor, key, plan, writer, settings)
    writer.finish(manifest)
    return manifest


def describe(
    extractor: Extractor,
    key: SecretKey,
    plan: BuildPlan,
    writer: ShardWriter,
    settings: BuildSettings,
) -> Manifest:
    """Return the manifest of a finished build."""
    shape = record_shape_of(key.scope)
    return Manifest(
        scheme=key.scope.scheme,
        scheme_version=key.scope.scheme_version,
        key_id=key.key_id,
        extractor=extractor.card.to_dict(),
        extractor_digest=extractor.card.digest(),
        n=shape.n,
        d=shape.d,
        record_type=settings.record_type,
        num_classes={split: len(plan.class_numbers.get(split, {})) for split in SHARD_SPLITS},
        shards=writer.entries(),
    )


def read_batches(
    batches: Iterable[tuple[Item, ...]],
) -> Iterator[UInt8[np.ndarray, "b 112 112 3"]]:
    """Yield the crops of each batch, reading a few batches ahead on other threads."""
    with ThreadPoolExecutor(_READERS) as pool:
        ahead: list[Future[np.ndarray]] = []
        for batch in batches:
            ahead.append(pool.submit(_read_batch, batch))
            if len(ahead) > _BATCHES_AHEAD:
                yield ahead.pop(0).result()
        for future in ahead:
            yield future.result()


def read_samples(
    samples: Sequence[Sample], *, mirrored: bool = False
) -> Iterator[UInt8[np.ndarray, "b 112 112 3"]]:
    """Yield the crops of samples in batches, in their order; see `read_batches`."""
    items = [Item(path=sample.path, mirrored=mirrored, label=0) for sample in samples]
    yield from read_batches(
        tuple(items[i : i + _SAMPLES_AT_ONCE]) for i in range(0, len(items), _SAMPLES_AT_ONCE)
    )


def _read_batch(batch: tuple[Item, ...]) -> UInt8[np.ndarray, "b 112 112 3"]:
    crops = [read_crop(item.path) for item in batch]
    mirrored = [c[:, ::-1] if item.mirrored else c for c, item in zip(crops, batch, strict=True)]
    return np.stack(mirrored)


def _first_features(
    plan: BuildPlan, extractor: Extractor, batch_size: int
) -> Float32[np.ndarray, "b n d"]:
    batches = [batch for shard in plan.shards for batch in shard.batches(batch_size)]
    enough = -(-NUM_MEASURED // batch_size)
    parts = [extractor.tokens(torch.from_numpy(c)) for c in read_batches(batches[:enough])]
    return torch.cat(parts).numpy()


def _make_records(
    shard: ShardPlan,
    extractor: Extractor,
    obfuscator: Obfuscator,
    batch_size: int,
    report: Progress,
) -> Float32[np.ndarray, "b n d"]:
    parts = []
    for crops in read_batches(shard.batches(batch_size)):
        records = obfuscator.obfuscate(extractor.tokens(torch.from_numpy(crops)))
        parts.append(records.numpy())
        report(len(crops))
    tokens = np.concatenate(parts)
    if len(tokens) != len(shard.items):
        raise ShapeError(f"{len(tokens)} records for {len(shard.items)} crops")
    return tokens


def _write(
    writer: ShardWriter,
    shard: ShardPlan,
    tokens: Float32[np.ndarray, "b n d"],
    settings: BuildSettings,
) -> None:
    content = encode_shard(tokens, labels_of(shard), settings.record_type)
    writer.write(shard.file, content, split=shard.split, records=len(shard.items))
