"""Replays, clocks and the memory of nonces."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from xnn.errors import BusyError, ConfigError, LimitError, StaleMessageError
from xnn.wire import FreshnessWindow, Message, renew

START_MS = 1_764_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def at(message: Message, ms: int, nonce: int = 0) -> Message:
    return dataclasses.replace(message, timestamp_ms=ms, nonce=nonce.to_bytes(16, "big"))


def test_a_message_counts_once_for_a_sender(message: Message, clock: Clock) -> None:
    window = FreshnessWindow(clock_ms=clock)
    window.check(at(message, START_MS), sender="a")
    with pytest.raises(StaleMessageError, match="a replay"):
        window.check(at(message, START_MS), sender="a")
    with pytest.raises(StaleMessageError, match="a replay"):
        window.check(at(message, START_MS + 5), sender="a")  # the nonce is what counts
    window.check(at(message, START_MS), sender="b")
    window.check(at(message, START_MS, nonce=1), sender="a")
    assert len(window) == 3


def test_a_renewed_message_passes_by_the_real_clock(message: Message) -> None:
    window = FreshnessWindow()
    for _ in range(3):
        window.check(renew(message), sender="a")


@pytest.mark.parametrize(("away_ms", "fine"), [(300_000, True), (300_001, False)])
def test_the_window_ends_where_it_says(
    message: Message, clock: Clock, away_ms: int, fine: bool
) -> None:
    window = FreshnessWindow(window_s=300.0, clock_ms=clock)
    for sign, match in ((-1, "clock is behind"), (1, "clock is ahead")):
        old = at(message, START_MS + sign * away_ms, nonce=sign + 1)
        if fine:
            window.check(old, sender="a")
        else:
            with pytest.raises(StaleMessageError, match=match) as caught:
                window.check(old, sender="a")
            assert "2025-11-24T16:00:00+00:00" in str(caught.value)
            assert "300 s" in str(caught.value)


def test_a_nonce_is_kept_as_long_as_it_could_be_replayed_and_no_longer(
    message: Message, clock: Clock
) -> None:
    window = FreshnessWindow(window_s=10.0, clock_ms=clock)
    ahead = at(message, START_MS + 10_000)
    window.check(ahead, sender="a")
    for later in (1, 10_000, 20_000):
        clock.ms = START_MS + later
        with pytest.raises(StaleMessageError, match="a replay"):
            window.check(ahead, sender="a")
    clock.ms = START_MS + 20_001
    with pytest.raises(StaleMessageError, match="before the server's time"):
        window.check(ahead, sender="a")
    assert len(window) == 0


def test_a_server_whose_clock_went_back_does_not_take_replays(
    message: Message, clock: Clock
) -> None:
    window = FreshnessWindow(window_s=10.0, clock_ms=clock)
    first = at(message, START_MS)
    window.check(first, sender="a")
    clock.ms += 60_000
    window.check(at(message, clock.ms, nonce=1), sender="a")  # the first is forgotten here
    clock.ms = START_MS + 1000
    with pytest.raises(StaleMessageError, match="server's clock went back by 59 s"):
        window.check(first, sender="a")


def test_what_was_made_before_the_start_is_refused(message: Message, clock: Clock) -> None:
    window = FreshnessWindow(made_after_ms=START_MS, clock_ms=clock)
    with pytest.raises(StaleMessageError, match="2 s before the server started"):
        window.check(at(message, START_MS - 2000), sender="a")
    window.check(at(message, START_MS), sender="a")


def test_memory_is_bounded_and_nothing_is_forgotten_early(message: Message, clock: Clock) -> None:
    window = FreshnessWindow(window_s=10.0, max_nonces=5, max_nonces_per_sender=3, clock_ms=clock)
    for nonce in range(3):
        window.check(at(message, START_MS, nonce), sender="a")
    with pytest.raises(LimitError, match="3 messages of this API key"):
        window.check(at(message, START_MS, 9), sender="a")
    for nonce in range(2):
        window.check(at(message, START_MS, nonce), sender="b")
    with pytest.raises(BusyError, match="try again later"):
        window.check(at(message, START_MS, 9), sender="b")
    with pytest.raises(StaleMessageError, match="a replay"):
        window.check(at(message, START_MS, 0), sender="a")
    for number in range(1000):
        with pytest.raises(BusyError):
            window.check(at(message, START_MS, 0), sender=f"sender {number}")
    assert len(window._seen) == 2
    clock.ms += 10_001
    window.check(at(message, clock.ms, 9), sender="a")
    assert len(window) == 1
    assert set(window._seen) == {"a"}


def test_of_many_threads_one_wins(message: Message, clock: Clock) -> None:
    window, barrier = FreshnessWindow(clock_ms=clock), threading.Barrier(8)

    def send(_: int) -> int:
        taken = 0
        for nonce in range(200):
            barrier.wait()
            try:
                window.check(at(message, START_MS, nonce), sender="a")
                taken += 1
            except StaleMessageError:
                pass
        return taken

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(8))) == 200


@pytest.mark.parametrize(
    ("name", "value"), [("window_s", 0.0), ("max_nonces", 0), ("max_nonces_per_sender", 0)]
)
def test_settings_are_at_least_one(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}=0"):
        FreshnessWindow(**{name: value})
