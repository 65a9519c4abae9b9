"""Exposure budgets: what is shipped, what is said of it, and when a build is refused."""

import pytest

from xnn.errors import ExposureError
from xnn.owner.exposure import (
    POLICY_FACTOR,
    Budget,
    check_exposure,
    find_budget,
    records_after,
)
from xnn.schemes import find_scheme
from xnn.types import DEFAULT_SCHEME


def budget(records: int | None = 100, pairs: int | None = None) -> Budget:
    return Budget(
        scheme="paper", extractor="dlib", records=records, records_measured_to=4000,
        known_pairs=pairs, pairs_measured_to=64, worst=0.5, chance=0.005,
    )  # fmt: skip


@pytest.mark.parametrize("extractor", ["dlib", "another"])
def test_the_default_scheme_was_measured(extractor: str) -> None:
    version = find_scheme(DEFAULT_SCHEME).card.version
    found = find_budget(DEFAULT_SCHEME, version, extractor)
    assert found is not None
    assert found.records_measured_to >= 1000
    assert found.pairs_measured_to >= 16


def test_another_version_was_not_measured() -> None:
    assert find_budget("paper", find_scheme("paper").card.version + 1, "dlib") is None


def test_a_build_is_warned_of_at_the_measured_count_and_refused_past_the_limit() -> None:
    found = budget()
    assert check_exposure(found, 99, accept=False, scheme="paper") is None
    told = check_exposure(found, 100, accept=False, scheme="paper")
    assert told is not None
    assert "100 records under one key were enough" in told
    assert check_exposure(found, POLICY_FACTOR * 100, accept=False, scheme="paper") is not None
    with pytest.raises(ExposureError, match="the limit is 1000"):
        check_exposure(found, POLICY_FACTOR * 100 + 1, accept=False, scheme="paper")
    assert check_exposure(found, 10**6, accept=True, scheme="paper") is not None


def test_a_scheme_that_was_not_broken_is_silent_up_to_what_was_tried() -> None:
    assert check_exposure(budget(None), 4000, accept=False, scheme="paper") is None
    told = check_exposure(budget(None), 4001, accept=False, scheme="paper")
    assert told is not None
    assert "4001 records under one key are more than were tried" in told
    with pytest.raises(ExposureError, match="the limit is 40000"):
        check_exposure(budget(None), 40001, accept=False, scheme="paper")


def test_uploads_under_one_key_add_up_and_one_that_is_built_again_does_not() -> None:
    made = {"a": 600, "b": 300}
    assert records_after(made, "c", 200) == 1100
    assert records_after(made, "a", 600) == 900
    assert records_after({}, "a", 5) == 5


@pytest.mark.parametrize(
    ("first", "made", "said"),
    [
        (100, 40, "40 records of 100; limit 1000"),
        (100, 100, "past the 100 that linked people; limit 1000"),
        (100, 1001, "past the limit of 1000; the next build is refused"),
        (None, 40, "40 records of 4000; limit 40000"),
        (None, 4001, "past the 4000 that were tried; limit 40000"),
    ],
)
def test_where_a_key_stands(first: int | None, made: int, said: str) -> None:
    assert said in budget(first).standing(made)


def test_a_scheme_that_was_not_measured_is_not_silent() -> None:
    told = check_exposure(None, 1, accept=False, scheme="of-mine")
    assert told is not None
    assert "never measured" in told


def test_what_is_said_of_known_pairs() -> None:
    assert "16 known pairs linked people of whom none was known" in budget(None, 16).describe()
    assert "64 known pairs linked nobody else" in budget(None).describe()
