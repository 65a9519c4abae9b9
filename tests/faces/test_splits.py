"""Laws of the splits, on face sets of any shape."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.errors import ConfigError, InsufficientDataError
from xnn.faces.dataset import FaceSet, Sample
from xnn.faces.splits import SplitSettings, split_faces
from xnn.types import SubjectId


def face_set(counts: list[int]) -> FaceSet:
    samples = [
        Sample(path=Path(f"{s:03}/{i:03}.png"), subject=SubjectId(f"{s:03}"))
        for s, count in enumerate(counts)
        for i in range(count)
    ]
    return FaceSet(name="made", samples=tuple(samples))


COUNTS = st.lists(st.integers(1, 30), min_size=2, max_size=40)
SETTINGS = st.builds(
    SplitSettings,
    seed=st.integers(0, 3),
    test_subjects=st.sampled_from([0, 0.25, 0.4, 3]),
    val_subjects=st.sampled_from([0, 0.15, 2]),
    images_per_test_subject=st.sampled_from([None, 2, 5, 20]),
)


@settings(deadline=None, max_examples=60)
@given(COUNTS, SETTINGS)
def test_laws(counts: list[int], chosen: SplitSettings) -> None:
    faces = face_set(counts)
    try:
        divided = split_faces(faces, chosen)
    except InsufficientDataError:
        return
    train, val, person, image = (
        divided.only(s) for s in ("train", "val", "test_by_person", "test_by_image")
    )
    assert not set(person.subjects) & {*train.subjects, *val.subjects, *image.subjects}
    assert not set(val.subjects) & {*train.subjects, *image.subjects}
    assert set(image.subjects) <= set(train.subjects)
    assert len(train.subjects) >= 2
    assert len(image.subjects) <= len(person.subjects)
    # One number of images per test subject, and none with a single image anywhere but in train.
    assert len(set(person.counts.values())) <= 1
    assert len(set(image.counts.values())) <= 1
    for tested in (val, person, image):
        assert min(tested.counts.values(), default=2) >= 2
        assert len(tested.subjects) != 1 or tested is val
    for subject, moved in image.counts.items():
        assert train.counts[subject] * 2 >= moved  # 1.5 n_t images, n_t moved
    # Nothing is invented, repeated or reordered; only test subjects lose images.
    paths = [s.path for s in divided.samples]
    assert paths == [s.path for s in faces.samples if s.path in set(paths)]
    lost = {s.subject for s in faces.samples if s.path not in set(paths)}
    assert lost <= set(person.subjects)
    assert split_faces(faces, chosen) == divided


def test_the_default_on_ten_images_each() -> None:
    divided = split_faces(face_set([10] * 40))
    assert Counter(s.split for s in divided.samples) == {
        "test_by_person": 10 * 10,
        "val": 6 * 10,
        "test_by_image": 10 * 6,  # 9 or more are needed for 6, none has the 15 for 10
        "train": 24 * 10 - 10 * 6,
    }


def test_by_image_takes_no_more_than_two_thirds() -> None:
    divided = split_faces(face_set([30] * 12), SplitSettings(images_per_test_subject=20))
    assert set(divided.only("test_by_image").counts.values()) == {20}
    assert len(divided.only("test_by_image").subjects) == 3


def test_the_seed_chooses_and_the_folder_does_not_matter() -> None:
    faces = face_set([10] * 40)
    moved = FaceSet(
        name="elsewhere",
        samples=tuple(Sample(path="/other" / s.path, subject=s.subject) for s in faces.samples),
    )
    first, second = split_faces(faces), split_faces(faces, SplitSettings(seed=1))
    assert first.only("val").subjects != second.only("val").subjects
    assert [s.split for s in split_faces(moved).samples] == [s.split for s in first.samples]


def test_many_single_images_only_train() -> None:
    divided = split_faces(face_set([1] * 100 + [5] * 20))
    assert len(divided.only("test_by_person").subjects) == 5  # a quarter of the 20
    assert len(divided.only("train").subjects) == 100 + 20 - 5 - 3


@pytest.mark.parametrize(
    ("counts", "settings", "message"),
    [
        ([9], SplitSettings(), "has 1 subjects .* needs 2"),
        ([1] * 9, SplitSettings(), "only 0 have two or more"),
        (
            [10] * 9,
            SplitSettings(images_per_test_subject=11),
            "images_per_test_subject=10 would do",
        ),
        ([3] * 4, SplitSettings(), "0 of 4 subjects left to train on"),
        ([3] * 9, SplitSettings(val_subjects=8), "8 validation subjects asked for, 7 "),
    ],
)
def test_too_little_data(counts: list[int], settings: SplitSettings, message: str) -> None:
    with pytest.raises(InsufficientDataError, match=message):
        split_faces(face_set(counts), settings)


def test_settings_and_sets_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="is divided already"):
        split_faces(split_faces(face_set([5] * 20)))
    for field, value in [("test_subjects", 1.5), ("val_subjects", -0.1), ("seed", -1)]:
        with pytest.raises(ConfigError, match=field):
            SplitSettings(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="one to enrol and one to probe"):
        SplitSettings(images_per_test_subject=1)
