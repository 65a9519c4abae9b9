"""How many class numbers a person gets: one, or as many as keep every class small.

Whoever holds an upload averages the records of a class, and the noise of that mean falls with the
root of their number. A scheme that bounds the photographs under one class number bounds that too,
however many there are of somebody. A known pair then names a part of its person's records only. The
tail pays for it: it is told to tell apart what is one person.
"""

import numpy as np
from jaxtyping import Int64


def part_numbers(
    people: Int64[np.ndarray, " r"], most: int | None, order: Int64[np.ndarray, " r"]
) -> Int64[np.ndarray, " r"]:
    """Return which class of its person's each record belongs to: 0, 1, ...

    A person of r records has ceil(r / most) classes, whose sizes differ by one at most.

    Args:
        people: Who each record shows.
        most: Photographs of a class; None gives each person one class.
        order: Permutation of the records, in which a person's are dealt out. The owner's is drawn
            from its key.
    """
    if most is None:
        return np.zeros_like(people)
    _, person, sizes = np.unique(people, return_inverse=True, return_counts=True)
    dealt = order[np.argsort(person[order], kind="stable")]
    turn = np.empty_like(people)
    turn[dealt] = np.arange(len(people)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    parts: Int64[np.ndarray, " r"] = turn % (-(-sizes // most))[person]
    return parts


def divide_classes(
    people: Int64[np.ndarray, " r"], most: int | None, order: Int64[np.ndarray, " r"]
) -> Int64[np.ndarray, " r"]:
    """Return the class of each record, 0..c-1, all present; arguments as in `part_numbers`."""
    both = np.stack([people, part_numbers(people, most, order)])
    classes: Int64[np.ndarray, " r"] = np.unique(both, axis=1, return_inverse=True)[1].reshape(-1)
    return classes
