"""Classes of bounded size: nobody's records mixed with another's, and as few classes as will do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xnn.schemes import SCHEMES, divide_classes, part_numbers

PEOPLE = st.lists(st.integers(0, 8), min_size=1, max_size=60)


@given(people=PEOPLE, most=st.integers(1, 7), seed=st.integers(0, 5))
def test_every_class_is_small_and_of_one_person(people: list[int], most: int, seed: int) -> None:
    who = np.array(people)
    order = np.random.default_rng(seed).permutation(len(who))
    classes = divide_classes(who, most, order)
    numbers, sizes = np.unique(classes, return_counts=True)
    assert list(numbers) == list(range(len(numbers)))
    assert sizes.max() <= most
    for person in np.unique(who):
        own = sizes[np.unique(classes[who == person])]
        assert len(own) == -(-np.sum(who == person) // most), "no more classes than needed"
        assert own.max() - own.min() <= 1
    assert sum(len(np.unique(classes[who == p])) for p in np.unique(who)) == len(numbers)


@given(people=PEOPLE)
def test_without_a_bound_everybody_is_one_class(people: list[int]) -> None:
    who, order = np.array(people), np.arange(len(people))
    assert not part_numbers(who, None, order).any()
    assert np.array_equal(divide_classes(who, None, order), np.unique(who, return_inverse=True)[1])


def test_the_order_decides_who_is_together() -> None:
    who = np.zeros(40, dtype=np.int64)
    one, other = (
        part_numbers(who, 2, np.random.default_rng(seed).permutation(40)) for seed in (0, 1)
    )
    assert np.mean(one == other) < 0.3
    dealt = part_numbers(who, 20, np.arange(40))
    assert np.array_equal(dealt, np.arange(40) % 2), "dealt out in turns"


def test_a_rung_bounds_its_classes() -> None:
    bounded = {n: s.card.photographs_per_class for n, s in SCHEMES.items()}
    assert {n: most for n, most in bounded.items() if most} == {"pooled-noise-4-by-2": 2}
    assert "2 photographs a class" in SCHEMES["pooled-noise-4-by-2"].card.summary
