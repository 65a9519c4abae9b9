"""Moving shards to a new key without the photographs: the old inverse, then the new key.

Where a scheme's records hold too little to go back to the features, its last matrix may still be
exchanged (`SchemeCard.turnable`): the new key is then for the same scheme and takes over what was
measured.

Trust: owner. The features, or what the last matrix hides, stand in the clear while it runs.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from xnn.errors import ConfigError, NoInverseError
from xnn.owner.arrangement import arrange
from xnn.owner.binding import bind_key, record_shape_of
from xnn.owner.statistics import (
    NUM_MEASURED,
    hand_on_statistics,
    load_statistics,
    statistics_of,
)
from xnn.owner.subject_map import load_subject_map, save_subject_map
from xnn.schemes import Obfuscator, Statistics, find_scheme
from xnn.secret import KeyFile, SecretKey
from xnn.shards import Manifest, ShardSet, ShardWriter, SplitRecords
from xnn.shards.arrow import encode_shard
from xnn.shards.manifest import SHARD_SPLITS, ShardSplit

Progress = Callable[[int], None]
Change = Callable[[Tensor], Tensor]


def rekey_shards(
    shards: ShardSet,
    old: KeyFile,
    new: KeyFile,
    folder: Path,
    *,
    on_records: Progress | None = None,
) -> Manifest:
    """Write the same records under another key, in that key's order and class numbers.

    From an invertible scheme the result is what a build from the photographs under the new key
    would give, up to the rounding of the stored type and of the old inverse; but the noise of a
    scheme that adds some is another draw. From a turnable one, noise and order of tokens are those
    of the old records, turned: who holds both uploads has one draw of them and not two. Killed and
    called again, it continues.

    Args:
        shards: Made under the old key.
        old: Key the shards were made under; its scheme is invertible or turnable.
        new: Key for the same extractor; of any scheme if the old one's is invertible, else of the
            same, and not yet used.
        folder: New, empty, or holding this very re-keying unfinished.
        on_records: Told how many more records are done.

    Raises:
        NoInverseError: The old key's scheme has neither, or the new key is for another scheme than
            records can be turned to; nothing is read or written.
        ConfigError: The new key has measured something else already, or its scheme bounds the
            photographs of a class.
        KeyMismatchError: `old` did not make these shards, or a key is for another
            extractor or another version of its scheme.
        CorruptError: A shard or the old subject map was altered; nothing is written before all
            shards are verified.
        ResumeError, OutputExistsError, StorageError: See `ShardWriter`.

    Trust: owner.
    """
    manifest = shards.manifest
    old.key.require(key_id=manifest.key_id)
    _require_way(old.key, new.key)
    undo = _bind(old.key, shards, load_statistics(old))
    new.key.require(
        extractor_digest=manifest.extractor_digest, n=old.key.scope.n, d=old.key.scope.d
    )
    shards.verify()
    back: Change
    forth: Change
    if _invertible(old.key):
        measured = functools.partial(_first_features, shards, undo)
        redo = _bind(new.key, shards, statistics_of(new, measured))
        back, forth = undo.deobfuscate, redo.obfuscate
    else:
        redo = _bind(new.key, shards, hand_on_statistics(old, new))
        back, forth = undo.unturn, redo.turn
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
                    # float64 in between, so that the old inverse costs no more than it must
                    between = back(torch.from_numpy(source.read(rows)).double())
                    tokens = forth(between).float().numpy()
                    labels = class_of[source.labels[rows]]
                    content = encode_shard(tokens, labels, manifest.record_type)
                    writer.write(entry.file, content, split=split, records=entry.records)
                report(entry.records)

    save_subject_map(new, numbers)
    result = _describe(manifest, new.key, writer)
    writer.finish(result)
    return result


def _bind(key: SecretKey, shards: ShardSet, statistics: Statistics) -> Obfuscator:
    digest = shards.manifest.extractor_digest
    return bind_key(key, extractor_digest=digest, shape=key.scope.shape, statistics=statistics)


def _first_features(shards: ShardSet, undo: Obfuscator) -> Float32[np.ndarray, "b n d"]:
    source = shards.split("train")
    records = source.read(np.arange(min(NUM_MEASURED, len(source))))
    return undo.deobfuscate(torch.from_numpy(records).double()).float().numpy()


def _invertible(key: SecretKey) -> bool:
    return find_scheme(key.scope.scheme).card.invertible


def _require_way(old: SecretKey, new: SecretKey) -> None:
    scheme, wanted = old.scope.scheme, new.scope.scheme
    few, fewer = (find_scheme(name).card.photographs_per_class for name in (scheme, wanted))
    if fewer is not None and few != fewer:
        raise ConfigError(
            f"scheme {wanted!r} allows {fewer} photographs in a class, and re-keying keeps the "
            f"classes of {scheme!r}; build again from the photographs under the new key"
        )
    if _invertible(old):
        return
    if not find_scheme(scheme).card.turnable:
        raise NoInverseError(
            f"records of scheme {scheme!r} cannot be re-keyed: it has no inverse; build "
            "them again from the photographs under the new key with `xnn shard build`"
        )
    if wanted != scheme or new.scope.scheme_version != old.scope.scheme_version:
        raise NoInverseError(
            f"records of scheme {scheme!r} (version {old.scope.scheme_version}) can only be "
            f"re-keyed to that scheme, the new key is for {wanted!r} (version "
            f"{new.scope.scheme_version}): they keep too little of the features; make a key with "
            f"`--scheme {scheme}`, or build again from the photographs"
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


def _moves(
    old: SecretKey, new: SecretKey, split: ShardSplit, source: SplitRecords
) -> tuple[Int64[np.ndarray, " records"], Int64[np.ndarray, " classes"]]:
    """Return which old record goes to each new place, and the new number of each old class."""
    before = arrange(old, split, len(source), source.num_classes)
    after = arrange(new, split, len(source), source.num_classes)
    old_place = np.argsort(before.order)
    subject = np.argsort(before.class_of)
    return old_place[after.order], after.class_of[subject]
