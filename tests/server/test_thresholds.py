"""Only rates that were measured can be asked for."""

import pytest

from xnn.errors import ConfigError
from xnn.server.routes.recognition import shown
from xnn.server.thresholds import Threshold, Thresholds

MEASURED = Thresholds([Threshold(0.01, 0.5), Threshold(0.1, 0.3), Threshold(1e-4, 0.8)])


def test_the_measured_rates_are_found() -> None:
    assert MEASURED.find(0.1).threshold == 0.3
    assert MEASURED.find(0.1 + 1e-12).threshold == 0.3
    assert [row.far for row in MEASURED.rows] == [0.1, 0.01, 1e-4]


def test_the_default_is_the_nearest_by_ratio() -> None:
    assert MEASURED.find(None).far in (0.01, 1e-4)
    assert Thresholds([Threshold(0.1, 0.3), Threshold(2e-3, 0.5)]).default_far == 2e-3


@pytest.mark.parametrize("far", [0.05, 1e-3, 1.0])
def test_others_are_refused_with_those_there_are(far: float) -> None:
    with pytest.raises(ConfigError, match=r"measured are: 0\.1, 0\.01, 0\.0001"):
        MEASURED.find(far)


def test_a_bundle_without_any_says_so() -> None:
    with pytest.raises(ConfigError, match="this bundle has no thresholds"):
        Thresholds([]).find(None)


def test_what_a_caller_sees_of_a_score() -> None:
    assert shown(0.123456, "exact") == 0.123456
    assert shown(0.126, "rounded") == 0.13
    assert shown(0.126, "hidden") is None
