"""Schemes that bound the photographs under one class number."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xnn.errors import ConfigError, InsufficientDataError
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.owner.build import build_shards
from xnn.owner.plan import BuildPlan, BuildSettings, plan_build
from xnn.owner.rekey import rekey_shards
from xnn.owner.subject_map import load_subject_map
from xnn.secret import KeyFile
from xnn.shards import ShardSet

SMALL = BuildSettings(record_type="float32", batch_size=4, records_per_shard=8)


def classes_of(plan: BuildPlan) -> dict[Path, set[int]]:
    """The class numbers of each photograph."""
    found: dict[Path, set[int]] = {}
    for shard in plan.shards:
        for item in shard.items:
            found.setdefault(item.path, set()).add(item.label)
    return found


@pytest.fixture
def all_train(faces: FaceSet) -> FaceSet:
    """Six people of five photographs, all to train on."""
    return replace(faces, samples=tuple(replace(s, split="train") for s in faces.samples))


@pytest.mark.parametrize("mirror", [False, True])
def test_a_person_has_as_many_classes_as_it_takes(
    all_train: FaceSet, bounded_keyfile: KeyFile, mirror: bool
) -> None:
    train = all_train
    plan = plan_build(train, bounded_keyfile.key, replace(SMALL, mirror=mirror))
    found = classes_of(plan)
    assert all(len(classes) == 1 for classes in found.values()), "with its mirror image"
    class_of = {path: next(iter(classes)) for path, classes in found.items()}
    subject_of = {sample.path: sample.subject for sample in train.samples}
    assert max(Counter(class_of.values()).values()) == 2
    per_subject = {s: {class_of[p] for p in found if subject_of[p] == s} for s in train.subjects}
    for subject, own in per_subject.items():
        assert len(own) == -(-train.counts[subject] // 2), "two photographs a class"
    num_classes = sum(len(own) for own in per_subject.values())
    assert len(set().union(*per_subject.values())) == num_classes > len(train.subjects)
    assert sorted(plan.class_numbers["train"].values()) == list(range(num_classes))


def test_the_key_decides_who_is_together(
    all_train: FaceSet, bounded_keyfile: KeyFile, other_bounded_keyfile: KeyFile
) -> None:
    def together(keyfile: KeyFile) -> set[frozenset[Path]]:
        groups: dict[int, set[Path]] = {}
        plan = plan_build(all_train, keyfile.key, SMALL)
        for path, (number,) in classes_of(plan).items():
            groups.setdefault(number, set()).add(path)
        return {frozenset(group) for group in groups.values()}

    assert together(bounded_keyfile) == together(bounded_keyfile)
    assert together(bounded_keyfile) != together(other_bounded_keyfile)


def test_one_person_is_no_training_set_however_divided(
    all_train: FaceSet, bounded_keyfile: KeyFile
) -> None:
    train = all_train
    lonely = tuple(s for s in train.samples if s.subject == train.subjects[0])
    with pytest.raises(InsufficientDataError, match="1 training subjects"):
        plan_build(replace(train, samples=lonely), bounded_keyfile.key, SMALL)


def test_rekeying_keeps_the_classes(
    all_train: FaceSet,
    extractor: Extractor,
    bounded_keyfile: KeyFile,
    other_bounded_keyfile: KeyFile,
    tmp_path: Path,
) -> None:
    build_shards(all_train, extractor, bounded_keyfile, tmp_path / "old", SMALL)
    old = ShardSet.open(tmp_path / "old")
    rekey_shards(old, bounded_keyfile, other_bounded_keyfile, tmp_path / "moved")
    before, after = (load_subject_map(k)["train"] for k in (bounded_keyfile, other_bounded_keyfile))
    assert set(before) == set(after)
    sizes = [
        np.bincount(ShardSet.open(tmp_path / name).split("train").labels, minlength=len(before))
        for name in ("old", "moved")
    ]
    for part, number in before.items():
        assert sizes[0][number] == sizes[1][after[part]]


def test_rekeying_into_a_bound_is_refused(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, bounded_keyfile: KeyFile, tmp_path: Path
) -> None:
    build_shards(faces, extractor, keyfile, tmp_path / "old", SMALL)
    with pytest.raises(ConfigError, match=r"allows 2 photographs in a class.*build again"):
        rekey_shards(ShardSet.open(tmp_path / "old"), keyfile, bounded_keyfile, tmp_path / "moved")
    assert not (tmp_path / "moved").exists()
