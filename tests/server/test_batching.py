"""Requests share runs of the student, and none of them pays for another."""

import asyncio
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from xnn.errors import BusyError, ConfigError, ShapeError, StorageError
from xnn.server.batching import StudentBatcher


def records(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1)


def double(sent: np.ndarray) -> np.ndarray:
    return 2 * sent.reshape(len(sent), 1)


def ask_double(sent: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: double(sent)


async def embed(batcher: StudentBatcher, sent: np.ndarray) -> np.ndarray:
    return await asyncio.wrap_future(batcher.submit(sent))


class Gate:
    """A student that answers once it is let; remembers what came, and how many at once."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        self.entries = self.inside = self.at_once = 0
        self._lock = threading.Lock()

    def __call__(self, sent: np.ndarray) -> Callable[[], np.ndarray]:
        with self._lock:
            self.entries += 1
            self.inside += 1
            self.at_once = max(self.at_once, self.inside)
        self.entered.set()

        def embeddings() -> np.ndarray:
            self.open.wait(10)
            with self._lock:
                self.inside -= 1
                self.sizes.append(len(sent))
            return double(sent)

        return embeddings


async def until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to pass")


def test_each_request_gets_its_own_rows() -> None:
    async def play() -> None:
        batcher = StudentBatcher(ask_double, max_batch=7)
        rng = np.random.default_rng(0)
        sent = [rng.normal(size=(1 + i % 4, 1, 1)).astype(np.float32) for i in range(50)]
        got = await asyncio.gather(*(embed(batcher, part) for part in sent))
        for part, answer in zip(sent, got, strict=True):
            assert np.array_equal(answer, double(part))
        batcher.close()

    asyncio.run(play())


def test_what_gathers_meanwhile_runs_together_up_to_the_maximum() -> None:
    async def play() -> None:
        gate = Gate()
        batcher = StudentBatcher(gate, max_batch=4)
        first = asyncio.create_task(embed(batcher, records(1)))
        await until(gate.entered.is_set)
        rest = [asyncio.create_task(embed(batcher, records(i, i))) for i in range(5)]
        await until(lambda: batcher.queued_records == 6)  # a full batch waits at the door already
        assert gate.entries == 2
        gate.open.set()
        await asyncio.gather(first, *rest)
        assert sorted(gate.sizes) == [1, 2, 4, 4]
        assert gate.at_once == 2
        batcher.close()

    asyncio.run(play())


def test_what_is_no_full_batch_waits_for_the_one_that_runs() -> None:
    async def play() -> None:
        gate = Gate()
        batcher = StudentBatcher(gate, max_batch=4)
        first = asyncio.create_task(embed(batcher, records(1)))
        await until(gate.entered.is_set)
        rest = [asyncio.create_task(embed(batcher, records(i))) for i in range(3)]
        await until(lambda: batcher.queued_records == 3)
        await asyncio.sleep(0.02)
        assert gate.entries == 1
        gate.open.set()
        await asyncio.gather(first, *rest)
        assert gate.sizes == [1, 3]
        batcher.close()

    asyncio.run(play())


def test_a_request_above_the_maximum_runs_alone() -> None:
    async def play() -> None:
        gate = Gate()
        gate.open.set()
        batcher = StudentBatcher(gate, max_batch=2, max_queued=3)
        assert len(await embed(batcher, records(*range(9)))) == 9
        batcher.close()

    asyncio.run(play())


def test_a_full_queue_refuses_and_recovers() -> None:
    async def play() -> None:
        gate = Gate()
        batcher = StudentBatcher(gate, max_batch=1, max_queued=3)
        running = [asyncio.create_task(embed(batcher, records(i))) for i in range(2)]
        await until(lambda: gate.entries == 2)
        waiting = [asyncio.create_task(embed(batcher, records(i))) for i in range(3)]
        await until(lambda: batcher.queued_records == 3)
        with pytest.raises(BusyError, match="3 records wait for the student, at most 3"):
            await embed(batcher, records(9))
        gate.open.set()
        await asyncio.gather(*running, *waiting)
        assert (await embed(batcher, records(9)))[0, 0] == 18
        batcher.close()

    asyncio.run(play())


def test_one_bad_request_does_not_fail_its_neighbours() -> None:
    gate = Gate()

    def picky(sent: np.ndarray) -> Callable[[], np.ndarray]:
        answer = gate(sent)

        def embeddings() -> np.ndarray:
            found = answer()
            if (sent == 13).any():
                raise ShapeError("no 13")
            with np.errstate(divide="ignore", invalid="ignore"):
                return found / (sent.reshape(-1, 1) != 7)

        return embeddings

    async def play() -> None:
        batcher = StudentBatcher(picky)
        first = asyncio.create_task(embed(batcher, records(1)))
        await until(gate.entered.is_set)
        tasks = [asyncio.create_task(embed(batcher, records(v))) for v in (2, 13, 7, 3)]
        await until(lambda: batcher.queued_records == 4)
        gate.open.set()
        await first
        good, bad, infinite, also_good = await asyncio.gather(*tasks, return_exceptions=True)
        assert (good[0, 0], also_good[0, 0]) == (4, 6)
        assert isinstance(bad, ShapeError)
        assert isinstance(infinite, ShapeError)
        assert "not finite" in str(infinite)
        batcher.close()

    asyncio.run(play())


def test_closing_finishes_what_was_accepted_and_refuses_more() -> None:
    async def play() -> None:
        gate = Gate()
        batcher = StudentBatcher(gate, max_batch=1)
        tasks = [asyncio.create_task(embed(batcher, records(i))) for i in range(5)]
        await until(lambda: gate.entered.is_set() and batcher.queued_records == 3)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.sleep(0.02)
        with pytest.raises(BusyError, match="stopping"):
            await embed(batcher, records(9))
        gate.open.set()
        await closing
        assert [answer[0, 0] for answer in await asyncio.gather(*tasks)] == [0, 2, 4, 6, 8]

    asyncio.run(play())


def test_who_hung_up_is_not_computed_for() -> None:
    async def play() -> None:
        gate = Gate()
        batcher = StudentBatcher(gate, max_batch=2)
        first = asyncio.create_task(embed(batcher, records(0)))
        await until(gate.entered.is_set)
        gone = asyncio.create_task(embed(batcher, records(1)))
        await until(lambda: batcher.queued_records == 1)
        gone.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await first
        await embed(batcher, records(2))
        assert gate.sizes == [1, 1]
        batcher.close()

    asyncio.run(play())


def test_a_lone_request_does_not_wait_for_company() -> None:
    async def play() -> None:
        batcher = StudentBatcher(ask_double, wait_s=1.0)
        start = time.monotonic()
        for _ in range(5):
            await embed(batcher, records(1))
        assert time.monotonic() - start < 0.9
        batcher.close()

    asyncio.run(play())


def test_who_brings_a_lone_request_hands_it_over_himself() -> None:
    handed: list[int] = []

    def ask(sent: np.ndarray) -> Callable[[], np.ndarray]:
        handed.append(threading.get_ident())
        return ask_double(sent)

    batcher = StudentBatcher(ask)
    assert batcher.submit(records(1)).result(10)[0, 0] == 2
    assert handed == [threading.get_ident()]
    batcher.close()


def test_a_student_that_cannot_be_asked_fails_the_request_and_not_the_next() -> None:
    away = threading.Event()

    def ask(sent: np.ndarray) -> Callable[[], np.ndarray]:
        if away.is_set():
            raise StorageError("away")
        return ask_double(sent)

    batcher = StudentBatcher(ask)
    away.set()
    with pytest.raises(StorageError, match="away"):
        batcher.submit(records(1)).result(10)
    away.clear()
    assert batcher.submit(records(1)).result(10)[0, 0] == 2
    batcher.close()


def test_company_is_waited_for_where_there_was_some() -> None:
    gate = Gate()
    batcher = StudentBatcher(gate, wait_s=0.3)
    first = batcher.submit(records(0))
    together = [batcher.submit(records(i)) for i in (1, 2)]
    gate.open.set()
    for future in (first, *together):
        future.result(10)
    start = time.monotonic()
    later = [batcher.submit(records(i)) for i in (3, 4, 5)]
    for future in later:
        future.result(10)
    assert 0.2 < time.monotonic() - start < 5
    assert gate.sizes == [1, 2, 3]
    batcher.close()


@pytest.mark.parametrize("wrong", [{"max_batch": 0}, {"max_queued": 0}, {"wait_s": -1.0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="use 1 or more records"):
        StudentBatcher(ask_double, **wrong)
