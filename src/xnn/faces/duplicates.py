"""The same photograph twice: under two subjects, or in gallery and probe."""

from collections import defaultdict
from collections.abc import Hashable

from xnn.faces.dataset import FaceSet, Sample
from xnn.files import disk_errors, sha256_of_file


def find_duplicates(faces: FaceSet) -> list[tuple[Sample, ...]]:
    """Return the groups of samples whose files hold the same bytes.

    Args:
        faces: Any set; only files of equal size are read.

    Returns:
        Groups of two or more, in the order of their first sample. A group with more than one
        subject is a labelling fault; one with a single subject makes a test easier than it is.

    Raises:
        StorageError: A file cannot be read.
    """
    by_size: dict[Hashable, list[Sample]] = defaultdict(list)
    for sample in faces.samples:
        with disk_errors("read", sample.path):
            by_size[sample.path.stat().st_size].append(sample)
    by_content: dict[Hashable, list[Sample]] = defaultdict(list)
    for size, samples in by_size.items():
        if len(samples) > 1:
            for sample in samples:
                by_content[size, sha256_of_file(sample.path)].append(sample)
    order = {sample: index for index, sample in enumerate(faces.samples)}
    groups = [tuple(group) for group in by_content.values() if len(group) > 1]
    return sorted(groups, key=lambda group: order[group[0]])


def crosses_subjects(group: tuple[Sample, ...]) -> bool:
    """Tell whether a group of duplicates is filed under more than one subject."""
    return len({sample.subject for sample in group}) > 1
