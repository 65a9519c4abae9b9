"""People with more photographs than a scheme allows under one class number: several each.

Trust: owner.
"""

from dataclasses import replace

import numpy as np

from xnn.faces.dataset import FaceSet
from xnn.schemes import KeyStream, find_scheme, part_numbers
from xnn.secret import SecretKey
from xnn.shards.manifest import ShardSplit
from xnn.types import SubjectId

_BETWEEN = "\x1f"
"""Between subject and part. In no name of a folder or row of a manifest that anybody writes."""


def in_parts(faces: FaceSet, key: SecretKey, split: ShardSplit) -> FaceSet:
    """Return the samples of a split with a subject id for each class that the scheme asks for.

    Args:
        faces: Of one split.
        key: Its scheme says how many photographs a class may have; it decides which are together.
        split: Which.
    """
    most = find_scheme(key.scope.scheme).card.photographs_per_class
    if most is None or not faces.samples:
        return faces
    people = np.unique([sample.subject for sample in faces.samples], return_inverse=True)[1]
    order = KeyStream(key.derive(f"class-parts/{split}")).permutation(len(people))
    parts = part_numbers(people, most, order)
    samples = tuple(
        replace(sample, subject=SubjectId(f"{sample.subject}{_BETWEEN}{part}"))
        for sample, part in zip(faces.samples, parts, strict=True)
    )
    return replace(faces, samples=samples)
