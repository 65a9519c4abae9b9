"""What a build will write, decided before the first record: the same plan, the same bytes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from xnn.errors import ConfigError, InsufficientDataError
from xnn.faces.dataset import FaceSet
from xnn.files import canonical_json, disk_errors
from xnn.owner.arrangement import arrange
from xnn.owner.binding import record_shape_of
from xnn.owner.class_parts import in_parts
from xnn.secret import SecretKey
from xnn.shards.manifest import SHARD_SPLITS, ShardSplit
from xnn.shards.records import RecordType, check_record_type, record_bytes
from xnn.types import SubjectId

_TARGET_SHARD_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """How records are made and stored."""

    record_type: RecordType = "float16"
    batch_size: int = 64
    """Crops per extractor call. Part of the plan: another batch may round differently."""
    records_per_shard: int | None = None
    """Default: as many whole batches as fit 64 MiB."""
    mirror: bool = False
    """Add the mirrored crop of every training sample: twice the records, more to learn from."""

    def __post_init__(self) -> None:
        check_record_type(self.record_type)
        for name in ("batch_size", "records_per_shard"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One record to be made."""

    path: Path
    mirrored: bool
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """One shard to be written: its file and its records in order."""

    file: str
    split: ShardSplit
    items: tuple[Item, ...] = field(repr=False)

    def batches(self, batch_size: int) -> Iterator[tuple[Item, ...]]:
        """Yield the items in extractor batches; none reaches over the end of the shard."""
        for start in range(0, len(self.items), batch_size):
            yield self.items[start : start + batch_size]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """A whole build."""

    shards: tuple[ShardPlan, ...]
    class_numbers: dict[ShardSplit, dict[SubjectId, int]] = field(repr=False)
    """The map that never leaves the owner; somebody with several classes has as many entries."""
    digest: str
    """Names everything that decides the bytes; keyed, so it tells outsiders nothing."""

    @property
    def upload(self) -> str:
        """Name of this build in the key's exposure counter."""
        return self.digest[:16]

    @property
    def num_records(self) -> int:
        """Records in all shards."""
        return sum(len(shard.items) for shard in self.shards)


def plan_build(faces: FaceSet, key: SecretKey, settings: BuildSettings) -> BuildPlan:
    """Decide order, class numbers and shards of a build.

    Args:
        faces: Divided into splits; only "train" and "val" are used.
        key: Decides order and class numbers.
        settings: Sizes and type.

    Raises:
        InsufficientDataError: Fewer than two training subjects.
        StorageError: A file is missing.
    """
    shards: list[ShardPlan] = []
    numbers: dict[ShardSplit, dict[SubjectId, int]] = {}
    for split in SHARD_SPLITS:
        part = faces.only(split)
        if split == "train" and len(part.subjects) < 2:
            raise InsufficientDataError(
                f"{len(part.subjects)} training subjects, at least 2 are needed; add photographs "
                "or hold out fewer subjects"
            )
        if part.samples:
            part = in_parts(part, key, split)
            items, numbers[split] = _arranged_items(part, key, split, settings)
            shards += _cut(items, split, _shard_size(key, settings))
    return BuildPlan(
        shards=tuple(shards), class_numbers=numbers, digest=_digest(shards, key, settings)
    )


def _arranged_items(
    part: FaceSet, key: SecretKey, split: ShardSplit, settings: BuildSettings
) -> tuple[list[Item], dict[SubjectId, int]]:
    mirrors = (False, True) if settings.mirror and split == "train" else (False,)
    pairs = [(sample, mirrored) for mirrored in mirrors for sample in part.samples]
    subjects = part.subjects
    arrangement = arrange(key, split, len(pairs), len(subjects))
    numbers = {s: int(c) for s, c in zip(subjects, arrangement.class_of, strict=True)}
    items = []
    for place in arrangement.order:
        sample, mirrored = pairs[place]
        items.append(Item(path=sample.path, mirrored=mirrored, label=numbers[sample.subject]))
    return items, numbers


def _shard_size(key: SecretKey, settings: BuildSettings) -> int:
    if settings.records_per_shard:
        return settings.records_per_shard
    shape = record_shape_of(key.scope)
    size = record_bytes(shape.n, shape.d, settings.record_type)
    return max(1, _TARGET_SHARD_BYTES // size // settings.batch_size) * settings.batch_size


def _cut(items: list[Item], split: ShardSplit, size: int) -> list[ShardPlan]:
    starts = range(0, len(items), size)
    return [
        ShardPlan(file=f"{split}-{i:05d}.arrow", split=split, items=tuple(items[s : s + size]))
        for i, s in enumerate(starts)
    ]


def _digest(shards: list[ShardPlan], key: SecretKey, settings: BuildSettings) -> str:
    described = []
    for shard in shards:
        for item in shard.items:
            with disk_errors("read", item.path):
                size = item.path.stat().st_size
            described.append([str(item.path), size, item.mirrored, item.label, shard.file])
    content = {
        "items": described,
        "record_type": settings.record_type,
        "batch_size": settings.batch_size,
    }
    return hashlib.sha256(key.derive("plan") + canonical_json(content)).hexdigest()


def labels_of(shard: ShardPlan) -> Int64[np.ndarray, " records"]:
    """Return the class numbers of a shard's records."""
    return np.array([item.label for item in shard.items], dtype=np.int64)
