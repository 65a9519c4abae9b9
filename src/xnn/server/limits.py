"""Limits for each API key: requests in a second, and probes that may be compared in an hour."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import final

from xnn.errors import ConfigError, RateError

Clock = Callable[[], float]
_MAX_CALLERS = 4096
"""Buckets kept; the least recently used is forgotten, which can only favour its caller."""


@final
class TokenBuckets:
    """A token bucket for each caller: `burst` at once, `per_s` in the long run.

    Args:
        per_s: Tokens that come back in a second.
        burst: Tokens that a bucket holds.
        clock: Seconds, monotonic.

    Raises:
        ConfigError: A rate or burst is out of range.
    """

    def __init__(self, per_s: float, burst: int, *, clock: Clock = time.monotonic) -> None:
        if not 0 < per_s < math.inf or burst < 1:
            raise ConfigError(
                f"rate {per_s:g} per second, burst {burst:g}; use a rate above 0 and a burst of 1 "
                "or more"
            )
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str, amount: int = 1) -> float:
        """Take tokens, or none at all.

        An amount above the burst is let through only by a full bucket, which it leaves in debt:
        so that one message of many records is possible, and paid for.

        Returns:
            0 where they were there; else the seconds until they will be.
        """
        with self._lock:
            now = self._clock()
            tokens, last = self._buckets.pop(caller, (float(self._burst), now))
            tokens = min(self._burst, tokens + (now - last) * self._per_s)
            missing = min(amount, self._burst) - tokens
            # A bucket filled by many small waits may end a rounding error short of full.
            allowed = missing <= 1e-9 * self._burst
            self._buckets[caller] = (tokens - amount if allowed else tokens, now)
            if len(self._buckets) > _MAX_CALLERS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else missing / self._per_s


@final
class CallerLimits:
    """What one API key may do in a time, and one address without a valid key.

    The probe budget is apart from the rate of requests: whoever has the scores of very many probes
    of his choice can climb towards a stored template, however slowly he asks.
    """

    def __init__(
        self,
        *,
        requests_per_s: float,
        request_burst: int,
        probes_per_hour: float,
        probe_burst: int,
        failures_per_minute: int = 30,
        clock: Clock = time.monotonic,
    ) -> None:
        self._requests = TokenBuckets(requests_per_s, request_burst, clock=clock)
        self._probes = TokenBuckets(probes_per_hour / 3600, probe_burst, clock=clock)
        self._failures = TokenBuckets(failures_per_minute / 60, failures_per_minute, clock=clock)

    def request(self, key_name: str) -> None:
        """Count a request.

        Raises:
            RateError: Too many.
        """
        _refuse(self._requests.take(key_name), "requests", "send them more slowly")

    def probes(self, key_name: str, count: int) -> None:
        """Count probes that are searched for or verified.

        Raises:
            RateError: The budget is used up.
        """
        wait_s = self._probes.take(key_name, count)
        _refuse(wait_s, "searched and verified probes", "wait, or ask the operator for a budget")

    def failure(self, address: str) -> None:
        """Count a request without a valid API key.

        Raises:
            RateError: Too many from this address.
        """
        wait_s = self._failures.take(address)
        _refuse(wait_s, "requests without a valid API key", "use the key the operator gave")


def _refuse(wait_s: float, what: str, remedy: str) -> None:
    if wait_s > 0:
        raise RateError(
            f"too many {what}: the next is allowed in {wait_s:.1f} s; {remedy}",
            retry_after_s=wait_s,
        )
