"""Moving shards to a new key without the photographs: the old inverse, then the new key.

Trust: owner. The features stand in the clear in memory while it runs.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64

from xnn.errors import NoInverseError
from xnn.owner.arrangement import arrange
from xnn.owner.binding import bind_key, record_shape_of
from xnn.owner.statistics import NUM_MEASURED, load_statistics, statistics_of
from xnn.owner.subject_map import load_subject_map, save_subject_map
from xnn.schemes import Obfuscator, Statistics, find_scheme
from xnn.secret import KeyFile, SecretKey
from xnn.shards import Manifest, ShardSet, ShardWriter, SplitRecords
from xnn.shards.arrow import encode_shard
from xnn.shards.manifest import SHARD_SPLITS, ShardSplit
from xnn.types import TokenShape

Progress = Callable[[int], None]


def rekey_shards(
    shards: ShardSet,
    old: KeyFile,
    new: KeyFile,
    folder: Path,
    *,
    on_records: Progress | None = None,
) -> Manifest:
    """Write the same records under another key, in that key's order and class numbers.

    The result is what a build from the photographs under the new key would give, up to the
    rounding of the stored type and of the old inverse; but the noise of a scheme that adds some is
    another draw. Killed and called again, it continues.

    Args:
        shards: Made under the old key.
        old: Key the shards were made under; its scheme needs an inverse.
        new: Key for the same extractor; its scheme may differ.
        folder: New, empty, or holding this very re-keying unfinished.
        on_records: Told how many more records are done.

    Raises:
        NoInverseError: The old key's scheme has no inverse; nothing is read or written.
        KeyMismatchError: `old` did not make these shards, or a key is for another
            extractor or another version of its scheme.
        CorruptError: A shard or the old subject map was altered; nothing is written before all
            shards are verified.
        ResumeError, OutputExistsError, StorageError: See `ShardWriter`.

    Trust: owner.
    """
    manifest = shards.manifest
    old.key.require(key_id=manifest.key_id)
    _require_inverse(old.key)
    undo = _bind(old.key, shards, old.key.scope.shape, load_statistics(old))
    new.key.require(
        extractor_digest=manifest.extractor_digest, n=old.key.scope.n, d=old.key.scope.d
    )
    shards.verify()
    measured = functools.partial(_first_features, shards, undo)
    redo = _bind(new.key, shards, old.key.scope.shape, statistics_of(new, measured))
    report = on_records or (lambda num_records: None)
    digest = hashlib.sha256(new.key.derive("rekey") + manifest.digest().encode()).hexdigest()
    numbers = load_subject_map(old)
    writer = ShardWriter(folder, plan_digest=digest)
    new.count_exposure(digest[:16], manifest.num_records())

    for split in SHARD_SPLITS:
        if manifest.num_records(split):
            source = shards.split(split)
            place, class_of = _moves(old.key, new.key, split, source)
            numbers[split] = {s: int(class_of[number]) for s, number in numbers[split].items()}
            first = 0
            for entry in (entry for entry in manifest.shards if entry.split == split):
                rows = place[first : first + entry.records]
                first += entry.records
                if not writer.has(entry.file):
                    tokens = _change(source.read(rows), undo, redo)
                    labels = class_of[source.labels[rows]]
                    content = encode_shard(tokens, labels, manifest.record_type)
                    writer.write(entry.file, content, split=split, records=entry.records)
                report(entry.records)

    save_subject_map(new, numbers)
    result = _describe(manifest, new.key, writer)
    writer.finish(result)
    return result


def _bind(
    key: SecretKey, shards: ShardSet, shape: TokenShape, statistics: Statistics
) -> Obfuscator:
    digest = shards.manifest.extractor_digest
    return bind_key(key, extractor_digest=digest, shape=shape, statistics=statistics)


def _first_features(shards: ShardSet, undo: Obfuscator) -> Float32[np.ndarray, "b n d"]:
    source = shards.split("train")
    records = source.read(np.arange(min(NUM_MEASURED, len(source))))
    return undo.deobfuscate(torch.from_numpy(records).double()).float().numpy()


def _require_inverse(key: SecretKey) -> None:
    if not find_scheme(key.scope.scheme).card.invertible:
        raise NoInverseError(
            f"records of scheme {key.scope.scheme!r} cannot be re-keyed: it has no inverse; build "
            "them again from the photographs under the new key with `xnn shard build`"
        )


def _describe(manifest: Manifest, key: SecretKey, writer: ShardWriter) -> Manifest:
    shape = record_shape_of(key.scope)
    return replace(
        manifest,
        n=shape.n,
        d=shape.d,
        scheme=key.scope.scheme,
        scheme_version=key.scope.scheme_version,
        key_id=key.key_id,
        shards=writer.entries(),
    )


def _change(
    records: Float32[np.ndarray, "b n d"], undo: Obfuscator, redo: Obfuscator
) -> Float32[np.ndarray, "b m e"]:
    # float64 in between, so that the old inverse costs no more than it must
    features = undo.deobfuscate(torch.from_numpy(records).double())
    return redo.obfuscate(features).float().numpy()


def _moves(
    old: SecretKey, new: SecretKey, split: ShardSplit, source: SplitRecords
) -> tuple[Int64[np.ndarray, " records"], Int64[np.ndarray, " classes"]]:
    """Return which old record goes to each new place, and the new number of each old class."""
    before = arrange(old, split, len(source), source.num_classes)
    after = arrange(new, split, len(source), source.num_classes)
    old_place = np.argsort(before.order)
    subject = np.argsort(before.class_of)
    return old_place[after.order], after.class_of[subject]
