"""Batches whose order depends on the seed and the step alone, read ahead in the background."""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int64

from xnn.training.source import RecordSource

_READ_AHEAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """Which records each process reads at each step.

    Step t belongs to epoch t // steps_per_epoch, whose order is a shuffle seeded by
    (seed, epoch); a resumed run therefore needs no state but its step. Records that do not fill
    the last batch of an epoch are left out of it; another shuffle leaves out others.
    """

    num_records: int
    batch_size: int
    """Over all processes together."""
    seed: int
    rank: int = 0
    world_size: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass."""
        return max(1, self.num_records // self.batch_size)

    def epoch_order(self, epoch: int) -> Int64[np.ndarray, " records"]:
        """Return the shuffled records of an epoch, the same in every process."""
        return np.random.default_rng((self.seed, epoch)).permutation(self.num_records)

    def indices(self, step: int) -> Int64[np.ndarray, " b"]:
        """Return the records that this process reads at a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return self._take(self.epoch_order(epoch), position)

    def walk(self, start: int, stop: int) -> Iterator[Int64[np.ndarray, " b"]]:
        """Yield `indices` of the steps from `start` to `stop`, shuffling once per epoch."""
        order = np.empty(0, dtype=np.int64)
        for step in range(start, stop):
            epoch, position = divmod(step, self.steps_per_epoch)
            if step == start or position == 0:
                order = self.epoch_order(epoch)
            yield self._take(order, position)

    def _take(self, order: Int64[np.ndarray, " records"], position: int) -> Int64[np.ndarray, " b"]:
        whole = order[position * self.batch_size : (position + 1) * self.batch_size]
        even = len(whole) - len(whole) % self.world_size  # every process gets as many
        return whole[self.rank : even : self.world_size]


@final
class Prefetcher:
    """Read batches in one background thread, a little ahead of the trainer.

    Use it as a context manager, so that the thread ends with it. `waited_s` counts the seconds
    that the trainer stood still for data.
    """

    def __init__(self, source: RecordSource, plan: BatchPlan, *, start: int, stop: int) -> None:
        self.waited_s = 0.0
        self._source = source
        self._walk = plan.walk(start, stop)
        self._ready: queue.Queue[_Batch | BaseException | None] = queue.Queue(_READ_AHEAD)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="xnn-batches", daemon=True)

    def __enter__(self) -> "Prefetcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def __iter__(self) -> Iterator[tuple[Float32[np.ndarray, "b n d"], Int64[np.ndarray, " b"]]]:
        while True:
            before = time.perf_counter()
            item = self._ready.get()
            self.waited_s += time.perf_counter() - before
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item.records, item.labels

    def _fill(self) -> None:
        try:
            for indices in self._walk:
                batch = _Batch(self._source.read(indices), self._source.labels[indices])
                if not self._put(batch):
                    return
            self._put(None)
        except BaseException as error:  # handed to the trainer, which raises it
            self._put(error)

    def _put(self, item: "_Batch | BaseException | None") -> bool:
        while not self._stopping.is_set():
            try:
                self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


@dataclass(frozen=True, slots=True)
class _Batch:
    records: Float32[np.ndarray, "b n d"]
    labels: Int64[np.ndarray, " b"]
