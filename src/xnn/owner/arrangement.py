"""Which record stands where, and which number stands for whom: drawn from the owner's key.

The cloud sees records in an order that tells nothing of names, folders or time, and class numbers
that tell nothing of subjects. Both are permutations derived from the key, so the owner can draw
them again and nobody else can.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from xnn.schemes import KeyStream
from xnn.secret import SecretKey
from xnn.shards.manifest import ShardSplit


@dataclass(frozen=True, slots=True, repr=False)
class Arrangement:
    """Order of records and numbers of classes in one split. Derived from the key: never shown.

    Args:
        order: Record at place p is sample order[p] of the owner's sorted list.
        class_of: Subject s of the owner's sorted list has class number class_of[s].
    """

    order: Int64[np.ndarray, " records"]
    class_of: Int64[np.ndarray, " subjects"]


def arrange(key: SecretKey, split: ShardSplit, num_records: int, num_classes: int) -> Arrangement:
    """Draw the arrangement of a split; the same key and counts give the same one."""
    order = KeyStream(key.derive(f"record-order/{split}")).permutation(num_records)
    class_of = KeyStream(key.derive(f"class-numbers/{split}")).permutation(num_classes)
    return Arrangement(order, class_of)
