"""Dynamic batching: records of several requests go through the student together."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Float, Float32

from xnn.errors import BusyError, ConfigError, ShapeError

Embed = Callable[[Float[np.ndarray, "b m e"]], Float32[np.ndarray, "b k"]]
OnBatch = Callable[[int, int, float], None]
"""Told of each batch: requests, records, seconds."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    records: np.ndarray
    future: asyncio.Future[np.ndarray]
    loop: asyncio.AbstractEventLoop
    since: float


_AT_ONCE: Final = 2
"""Batches that are with the student: one runs, one waits at its door."""


def _ignore(requests: int, records: int, seconds: float) -> None:
    """Take no notice of a batch."""


@final
class StudentBatcher:
    """Runs the student on whatever has gathered.

    While a batch runs, the next gathers by itself; once it is full it is handed over too, so that a
    student in another process finds it when it has done with the first. Only when requests came
    together lately does an idle thread wait up to `wait_s` for more of them: a lone request is run
    at once.

    Args:
        embed: The student. Called from two threads.
        max_batch: Records of one batch, unless one request brings more.
        wait_s: How long an idle thread waits for company.
        max_queued: Records that may wait; beyond, requests are refused.
        on_batch: Told of each batch.

    Raises:
        ConfigError: A number is out of range.

    Trust: server.
    """

    def __init__(
        self,
        embed: Embed,
        *,
        max_batch: int = 32,
        wait_s: float = 0.002,
        max_queued: int = 512,
        on_batch: OnBatch = _ignore,
    ) -> None:
        if max_batch < 1 or max_queued < 1 or not 0 <= wait_s <= 1:
            raise ConfigError(
                f"max_batch={max_batch}, max_queued={max_queued}, wait_s={wait_s}; "
                "use 1 or more records and at most one second"
            )
        self._embed, self._on_batch = embed, on_batch
        self._max_batch, self._wait_s, self._max_queued = max_batch, wait_s, max_queued
        self._queue: deque[_Waiting] = deque()
        self._queued_records = 0
        self._last_requests = 1
        self._running = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"xnn-student-{i}", daemon=True)
            for i in range(_AT_ONCE)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def queued_records(self) -> int:
        """Return how many records wait."""
        return self._queued_records

    async def embed(self, records: Float[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b k"]:
        """Return the student's embeddings of one request's records.

        Raises:
            BusyError: Too many records wait already, or the service is stopping.
            ShapeError: The student's answer is not finite: no front makes such records.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[np.ndarray] = loop.create_future()
        with self._changed:
            if self._closed:
                raise BusyError("the service is stopping; try again in a moment")
            waiting = self._queued_records
            if waiting and waiting + len(records) > self._max_queued:
                raise BusyError(
                    f"{waiting} records wait for the student, at most {self._max_queued} may; "
                    "try again in a moment"
                )
            self._queue.append(_Waiting(records, future, loop, time.monotonic()))
            self._queued_records += len(records)
            self._changed.notify_all()
        vectors = await future
        if not np.isfinite(vectors).all():
            raise ShapeError(
                "the student's answer to these records is not finite: their values are far outside "
                "what its front makes; use the device bundle exported with it"
            )
        return vectors

    def close(self) -> None:
        """Finish what waits, then stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                wanted = [waiting for waiting in batch if not waiting.future.cancelled()]
                if wanted:
                    self._run(wanted)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()

    def _next_batch(self) -> list[_Waiting]:
        """Return what is to be run next, oldest first; nothing when closed and empty."""
        with self._changed:
            while not self._may_begin():
                if self._closed and not self._queue:
                    return []
                self._changed.wait(self._company_s())
            batch: list[_Waiting] = []
            records = 0
            while self._queue:
                size = len(self._queue[0].records)
                if batch and records + size > self._max_batch:
                    break
                batch.append(self._queue.popleft())
                records += size
            self._queued_records -= records
            self._last_requests = len(batch)
            self._running += 1
            return batch

    def _may_begin(self) -> bool:
        if not self._queue:
            return False
        if self._queued_records >= self._max_batch:
            return True
        return not self._running and (self._closed or self._company_s() is None)

    def _company_s(self) -> float | None:
        """Return how long an idle student is still to wait for company; None for not at all."""
        if self._running or not self._queue or self._last_requests == 1:
            return None
        left = self._queue[0].since + self._wait_s - time.monotonic()
        return left if left > 0 else None

    def _run(self, batch: list[_Waiting]) -> None:
        start = time.monotonic()
        try:
            vectors = self._embed(np.concatenate([waiting.records for waiting in batch]))
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0], error)
                return
            for waiting in batch:  # one bad request must not fail its neighbours
                self._run([waiting])
            return
        self._on_batch(len(batch), len(vectors), time.monotonic() - start)
        for waiting, part in zip(batch, _parts(vectors, batch), strict=True):
            _settle(waiting, part)


def _parts(vectors: np.ndarray, batch: list[_Waiting]) -> Iterable[np.ndarray]:
    ends = np.cumsum([len(waiting.records) for waiting in batch])
    return np.split(vectors, ends[:-1])


def _settle(waiting: _Waiting, result: np.ndarray | Exception) -> None:
    """Hand a result to the event loop that waits for it; that loop may be gone."""

    def hand_over() -> None:
        if waiting.future.done():
            return
        if isinstance(result, Exception):
            waiting.future.set_exception(result)
        else:
            waiting.future.set_result(result)

    if not waiting.loop.is_closed():
        waiting.loop.call_soon_threadsafe(hand_over)
