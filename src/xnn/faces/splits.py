"""Who trains, who validates and who is tested: splits by person and by image."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from xnn.errors import ConfigError, InsufficientDataError
from xnn.faces.dataset import FaceSet, Sample, Split
from xnn.types import SubjectId

T = TypeVar("T")

_FEWEST_IMAGES = 2  # one for the gallery, one to probe with
_FEWEST_SUBJECTS = 2  # with one, every answer is right
_MOST_IMAGES = 20  # the paper's number per test subject


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """How a face set is divided.

    Numbers of subjects are counts when whole (`58`) and fractions when below one (`0.25`). A
    fraction is of the subjects with two or more images: one image can train but never be tested.
    """

    seed: int = 0
    """Chooses subjects and images; equal seeds and equal sets give equal splits."""

    test_subjects: int | float = 0.25
    """Subjects held out for `test_by_person`; 0 for no test at all."""

    val_subjects: int | float = 0.15
    """Subjects held out for `val`, disjoint from the test subjects; 0 for none."""

    images_per_test_subject: int | None = None
    """Images kept of each test subject, 2 or more. None: the median number of images of the
    subjects with two or more, at most 20."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: must be 0 or more")
        for name in ("test_subjects", "val_subjects"):
            value = getattr(self, name)
            if value < 0 or not math.isfinite(value) or (value >= 1 and value != int(value)):
                raise ConfigError(
                    f"{name}={value:g}: write a fraction below 1 or a whole number of subjects"
                )
        images = self.images_per_test_subject
        if images is not None and images < _FEWEST_IMAGES:
            raise ConfigError(
                f"images_per_test_subject={images}: at least 2, one to enrol and one to probe with"
            )


def split_faces(faces: FaceSet, settings: SplitSettings | None = None) -> FaceSet:
    """Divide a face set by person and, in what is left, by image.

    By person: of the subjects with n_t or more images some are drawn; n_t random images of each
    become `test_by_person` and their other images are dropped. Validation subjects are drawn
    among the rest with two or more images and keep them all. By image: of the remaining subjects
    with 1.5 n_t or more images as many as there are test subjects are drawn, and n_t random
    images of each become `test_by_image`. Where too few have so many images the largest smaller
    number (2 or more) that fills the places is used instead. All else is `train`.

    Args:
        faces: A set that is not divided yet, two or more subjects for every split asked for.
        settings: Sizes and seed.

    Returns:
        The same samples with their splits, less the dropped ones, in the same order. No subject
        of `val` or `test_by_person` is in another split; every subject of `test_by_image` trains.

    Raises:
        ConfigError: The set is divided already.
        InsufficientDataError: Too few subjects, or too few with n_t images.

    Source: arXiv:2408.04974, evaluation (by person and by image).
    """
    settings = settings or SplitSettings()
    if any(sample.split != "train" for sample in faces.samples):
        raise ConfigError(
            f"{faces.name!r} is divided already; use it as it is, or drop its split column"
        )
    num_test, num_val = _sizes(faces, settings)
    num_images = settings.images_per_test_subject or _median_images(faces.counts.values())
    generator = np.random.default_rng(settings.seed)
    test, val, rest = _by_person(generator, faces, num_test, num_val, num_images)
    by_image, num_moved = _by_image(generator, rest, num_test, num_images)

    chosen: list[Sample] = []
    for subject, samples in _grouped(faces).items():
        if subject in test:
            chosen += _marked(_draw(generator, samples, num_images), "test_by_person")
        elif subject in val:
            chosen += _marked(samples, "val")
        else:
            moved = set(_draw(generator, samples, num_moved)) if subject in by_image else set()
            chosen += [replace(s, split="test_by_image") if s in moved else s for s in samples]
    return replace(faces, samples=tuple(chosen))


def _sizes(faces: FaceSet, settings: SplitSettings) -> tuple[int, int]:
    """Turn fractions into numbers of subjects, two at least for a split that is asked for."""
    faces.require(num_subjects=_FEWEST_SUBJECTS)
    testable = sum(count >= _FEWEST_IMAGES for count in faces.counts.values())
    sizes = []
    for wanted in (settings.test_subjects, settings.val_subjects):
        if wanted == 0:
            sizes.append(0)
        elif wanted < 1:
            sizes.append(max(_FEWEST_SUBJECTS, round(wanted * testable)))
        else:
            sizes.append(int(wanted))
    return sizes[0], sizes[1]


def _by_person(
    generator: np.random.Generator, faces: FaceSet, num_test: int, num_val: int, num_images: int
) -> tuple[set[SubjectId], set[SubjectId], dict[SubjectId, int]]:
    """Draw the subjects to test and to validate on, and count the images of those that train."""
    counts = faces.counts
    fit = [subject for subject, count in counts.items() if count >= num_images]
    if len(fit) < num_test:
        raise InsufficientDataError(_too_few(faces, num_test, num_images))
    test = set(_draw(generator, fit, num_test))
    fit = [s for s, count in counts.items() if count >= _FEWEST_IMAGES and s not in test]
    if len(fit) < num_val:
        raise InsufficientDataError(
            f"{faces.name!r}: {num_val} validation subjects asked for, {len(fit)} subjects with "
            "two or more images are left; lower val_subjects or test_subjects"
        )
    val = set(_draw(generator, fit, num_val))
    rest = {s: count for s, count in counts.items() if s not in test and s not in val}
    if len(rest) < _FEWEST_SUBJECTS:
        raise InsufficientDataError(
            f"{faces.name!r}: {len(rest)} of {len(counts)} subjects left to train on, at least "
            f"{_FEWEST_SUBJECTS} needed; lower test_subjects or val_subjects"
        )
    return test, val, rest


def _median_images(counts: Iterable[int]) -> int:
    several = [count for count in counts if count >= _FEWEST_IMAGES]
    return min(_MOST_IMAGES, int(np.median(several))) if several else _FEWEST_IMAGES


def _by_image(
    generator: np.random.Generator, counts: dict[SubjectId, int], num_test: int, num_images: int
) -> tuple[set[SubjectId], int]:
    """Choose the subjects tested by image, and how many images each gives up."""

    def fit(images: int) -> list[SubjectId]:
        return [subject for subject, count in counts.items() if count >= 1.5 * images]

    places = min(num_test, len(fit(_FEWEST_IMAGES)))
    if places < _FEWEST_SUBJECTS:
        return set(), 0
    images = next(n for n in range(num_images, _FEWEST_IMAGES - 1, -1) if len(fit(n)) >= places)
    return set(_draw(generator, fit(images), places)), images


def _draw(generator: np.random.Generator, items: list[T], number: int) -> list[T]:
    """Draw without replacement, keeping the order of `items`."""
    return [items[index] for index in sorted(generator.permutation(len(items))[:number])]


def _grouped(faces: FaceSet) -> dict[SubjectId, list[Sample]]:
    groups: dict[SubjectId, list[Sample]] = defaultdict(list)
    for sample in faces.samples:
        groups[sample.subject].append(sample)
    return dict(sorted(groups.items()))


def _marked(samples: list[Sample], split: Split) -> list[Sample]:
    return [replace(sample, split=split) for sample in samples]


def _too_few(faces: FaceSet, num_test: int, num_images: int) -> str:
    counts = sorted(faces.counts.values(), reverse=True)
    would_do = counts[num_test - 1] if num_test <= len(counts) else 0
    enough = sum(count >= num_images for count in counts)
    text = (
        f"{faces.name!r}: {num_test} test subjects with {num_images} images each asked for, "
        f"{enough} have so many; "
    )
    if would_do >= _FEWEST_IMAGES:
        return text + f"images_per_test_subject={would_do} would do, or lower test_subjects"
    several = sum(count >= _FEWEST_IMAGES for count in counts)
    return text + f"only {several} have two or more: lower test_subjects or add photographs"
