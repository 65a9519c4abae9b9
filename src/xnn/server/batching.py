"""Dynamic batching: records of several requests go through the student together."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Float

from xnn.errors import BusyError, ConfigError, ShapeError
from xnn.server.student import Embeddings

Ask = Callable[[Float[np.ndarray, "b m e"]], Embeddings]
"""Hands records to the student; what it returns waits for their embeddings."""
OnBatch = Callable[[int, int, float], None]
"""Told of each batch: requests, records, seconds."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    records: np.ndarray
    future: Future[np.ndarray]
    since: float


@dataclass(frozen=True, slots=True)
class _Asked:
    batch: list[_Waiting]
    embeddings: Embeddings
    since: float


_AT_ONCE: Final = 2
"""Batches that are with the student: one runs, one waits at its door."""


def _ignore(requests: int, records: int, seconds: float) -> None:
    """Take no notice of a batch."""


@final
class StudentBatcher:
    """Runs the student on whatever has gathered.

    While a batch runs, the next gathers by itself; once it is full it is handed over too, so that
    the student finds it when it has done with the first. Only when requests came together lately
    does an idle student wait up to `wait_s` for more of them: a lone request is handed over at
    once, by the thread that brings it. For each batch that is with the student there is a thread
    that hears its answer, so that nobody waits for ever for room to ask.

    Args:
        ask: The student. Called from several threads.
        max_batch: Records of one batch, unless one request brings more.
        wait_s: How long an idle student waits for company.
        max_queued: Records that may wait; beyond, requests are refused.
        on_batch: Told of each batch.

    Raises:
        ConfigError: A number is out of range.

    Trust: server.
    """

    def __init__(
        self,
        ask: Ask,
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
        self._ask, self._on_batch = ask, on_batch
        self._max_batch, self._wait_s, self._max_queued = max_batch, wait_s, max_queued
        self._queue: deque[_Waiting] = deque()
        self._queued_records = 0
        self._last_requests = 1
        self._running = 0
        self._asked: deque[_Asked] = deque()
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

    def submit(self, records: Float[np.ndarray, "b m e"]) -> Future[np.ndarray]:
        """Ask for the student's embeddings of one request's records, float32, b x k.

        May wait while a student that ended is started again. The future raises what the student
        does, or ShapeError: its answer is not finite, no front makes such records.

        Raises:
            BusyError: Too many records wait already, or the service is stopping.
        """
        future: Future[np.ndarray] = Future()
        with self._changed:
            if self._closed:
                raise BusyError("the service is stopping; try again in a moment")
            waiting = self._queued_records
            if waiting and waiting + len(records) > self._max_queued:
                raise BusyError(
                    f"{waiting} records wait for the student, at most {self._max_queued} may; "
                    "try again in a moment"
                )
            self._queue.append(_Waiting(records, future, time.monotonic()))
            self._queued_records += len(records)
            if self._company_s() is not None:
                self._changed.notify()  # there is a time to be kept
        self._hand_over()
        return future

    def close(self) -> None:
        """Finish what waits, then stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._asked and not self._may_begin():
                    if self._closed and not self._queue and not self._running:
                        return
                    self._changed.wait(self._company_s())
                asked = self._asked.popleft() if self._asked else None
            if asked is not None:
                self._finish(asked)
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the student what has gathered, as far as it is to have it now."""
        while batch := self._next_batch():
            wanted = [each for each in batch if each.future.set_running_or_notify_cancel()]
            start, embeddings = time.monotonic(), _nothing
            if wanted:
                try:
                    embeddings = self._ask(np.concatenate([each.records for each in wanted]))
                except Exception as error:
                    embeddings = _raising(error)
            with self._changed:
                self._asked.append(_Asked(wanted, embeddings, start))
                self._changed.notify()

    def _next_batch(self) -> list[_Waiting]:
        """Return what is to be run now, oldest first; nothing where the time has not come."""
        with self._changed:
            batch: list[_Waiting] = []
            if not self._may_begin():
                return batch
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
        if not self._queue or self._running >= _AT_ONCE:
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

    def _finish(self, asked: _Asked) -> None:
        """Wait for the answer to a batch, let the next one begin, and pass the answer on."""
        found: np.ndarray | Exception
        try:
            found = asked.embeddings()
        except Exception as error:
            found = error
        if isinstance(found, Exception):
            # One bad request must not fail its neighbours: each is asked about alone.
            for waiting in asked.batch:
                _settle(waiting, found if len(asked.batch) == 1 else self._alone(waiting.records))
        with self._changed:
            self._running -= 1
            if self._closed:
                self._changed.notify_all()
        if isinstance(found, Exception):
            return
        self._hand_over()
        for waiting, part in zip(asked.batch, _parts(found, asked.batch), strict=True):
            _settle(waiting, part)
        if asked.batch:
            self._on_batch(len(asked.batch), len(found), time.monotonic() - asked.since)

    def _alone(self, records: np.ndarray) -> np.ndarray | Exception:
        try:
            return self._ask(records)()
        except Exception as error:
            return error


def _parts(vectors: np.ndarray, batch: list[_Waiting]) -> Iterable[np.ndarray]:
    ends = np.cumsum([len(waiting.records) for waiting in batch])
    return np.split(vectors, ends[:-1]) if batch else []


def _settle(waiting: _Waiting, found: np.ndarray | Exception) -> None:
    if isinstance(found, Exception):
        waiting.future.set_exception(found)
    elif np.isfinite(found).all():
        waiting.future.set_result(found)
    else:
        waiting.future.set_exception(
            ShapeError(
                "the student's answer to these records is not finite: their values are far outside "
                "what its front makes; use the device bundle exported with it"
            )
        )


def _nothing() -> np.ndarray:
    return np.zeros((0, 0), np.float32)


def _raising(error: Exception) -> Embeddings:
    def embeddings() -> np.ndarray:
        raise error

    return embeddings
