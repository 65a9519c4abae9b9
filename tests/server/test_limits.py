"""Token buckets against arithmetic by hand."""

import pytest

from xnn.errors import ConfigError, RateError
from xnn.server.limits import CallerLimits, TokenBuckets


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(2.0, 3, clock=clock)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now += 0.25
    assert buckets.take("a") == pytest.approx(0.25), "a refusal costs nothing"
    clock.now += 0.25
    assert buckets.take("a") == 0
    clock.now += 100
    assert [buckets.take("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_callers_do_not_share() -> None:
    buckets = TokenBuckets(1.0, 1, clock=Clock())
    assert buckets.take("a") == 0
    assert buckets.take("b") == 0
    assert buckets.take("a") > 0


def test_more_than_a_burst_is_paid_back_before_the_next() -> None:
    clock = Clock()
    buckets = TokenBuckets(1.0, 10, clock=clock)
    assert buckets.take("a", 25) == 0
    assert buckets.take("a", 1) == pytest.approx(16)
    clock.now += 16
    assert buckets.take("a", 1) == 0


def test_memory_is_bounded() -> None:
    buckets = TokenBuckets(1.0, 1, clock=Clock())
    for number in range(10_000):
        buckets.take(str(number))
    assert len(buckets._buckets) <= 4096


def test_in_the_long_run_no_more_than_the_rate_passes() -> None:
    clock = Clock()
    buckets = TokenBuckets(7.0, 5, clock=clock)
    passed = 0
    for _ in range(10_000):
        clock.now += 0.01
        passed += buckets.take("a") == 0
    assert abs(passed - (5 + 7.0 * 100)) <= 2


def test_requests_and_probes_are_counted_apart() -> None:
    clock = Clock()
    limits = CallerLimits(
        requests_per_s=10.0, request_burst=2, probes_per_hour=3600.0, probe_burst=4, clock=clock
    )
    limits.request("a")
    limits.probes("a", 4)
    with pytest.raises(RateError, match="searched and verified probes") as caught:
        limits.probes("a", 2)
    assert caught.value.retry_after_s == pytest.approx(2)
    limits.request("a")
    with pytest.raises(RateError, match="too many requests"):
        limits.request("a")
    limits.probes("b", 4)


def test_guessing_keys_is_slowed_by_address() -> None:
    limits = CallerLimits(
        requests_per_s=10.0, request_burst=2, probes_per_hour=1.0, probe_burst=1, clock=Clock()
    )
    for _ in range(30):
        limits.failure("192.0.2.1")
    with pytest.raises(RateError, match="without a valid API key"):
        limits.failure("192.0.2.1")
    limits.failure("192.0.2.2")


@pytest.mark.parametrize(("per_s", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0), (float("inf"), 1)])
def test_numbers_out_of_range_are_refused(per_s: float, burst: int) -> None:
    with pytest.raises(ConfigError, match="use a rate above 0"):
        TokenBuckets(per_s, burst)
