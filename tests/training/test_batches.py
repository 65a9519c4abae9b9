"""Order of records: exact, resumable and divided without overlap; reading ahead."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import InsufficientDataError, ShapeError
from xnn.training.batches import BatchPlan, Prefetcher
from xnn.training.source import ArraySource


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_an_epoch_visits_no_record_twice_whatever_the_processes(
    num_records: int, per_process: int, world_size: int, seed: int
) -> None:
    plans = [
        BatchPlan(
            num_records=num_records,
            batch_size=per_process * world_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
        for rank in range(world_size)
    ]
    steps = range(plans[0].steps_per_epoch)
    parts = [[plan.indices(step) for plan in plans] for step in steps]
    assert all(len({len(part) for part in step}) == 1 for step in parts)
    seen = np.concatenate([part for step in parts for part in step])
    assert len(np.unique(seen)) == len(seen)
    whole_batches = num_records // (per_process * world_size)
    assert len(seen) == (
        whole_batches * per_process * world_size
        if whole_batches
        else num_records - num_records % world_size
    )


def test_walking_from_the_middle_gives_what_the_whole_walk_gives_there() -> None:
    plan = BatchPlan(num_records=10, batch_size=3, seed=4)
    whole = list(plan.walk(0, 9))
    assert [list(part) for part in plan.walk(4, 9)] == [list(part) for part in whole[4:]]
    assert [list(plan.indices(step)) for step in range(9)] == [list(part) for part in whole]


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    plan = BatchPlan(num_records=50, batch_size=50, seed=4)
    other = BatchPlan(num_records=50, batch_size=50, seed=5)
    orders = [plan.indices(0), plan.indices(1), other.indices(0)]
    assert len({tuple(order) for order in orders}) == 3


def some_source() -> ArraySource:
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(48, 2, 3)).astype(np.float32)
    return ArraySource(tokens, np.arange(48) % 6)


def test_reading_ahead_gives_the_planned_batches() -> None:
    source = some_source()
    plan = BatchPlan(num_records=len(source), batch_size=16, seed=0)
    with Prefetcher(source, plan, start=2, stop=8) as batches:
        found = list(batches)
    assert len(found) == 6
    for step, (records, labels) in enumerate(found, start=2):
        indices = plan.indices(step)
        np.testing.assert_array_equal(records, source.read(indices))
        np.testing.assert_array_equal(labels, source.labels[indices])


class SlowSource:
    def __init__(self, *, delay_s: float, fails_at: int | None = None) -> None:
        self._inner = some_source()
        self.shape, self.labels = self._inner.shape, self._inner.labels
        self.num_classes = self._inner.num_classes
        self._delay_s, self._fails_at, self._reads = delay_s, fails_at, 0

    def __len__(self) -> int:
        return len(self._inner)

    def read(self, indices: np.ndarray) -> np.ndarray:
        if self._reads == self._fails_at:
            raise OSError("the disk went away")
        self._reads += 1
        time.sleep(self._delay_s)
        return self._inner.read(indices)


PLAN = BatchPlan(num_records=48, batch_size=8, seed=0)


def test_time_spent_waiting_is_measured() -> None:
    with Prefetcher(SlowSource(delay_s=0.05), PLAN, start=0, stop=4) as batches:
        assert len(list(batches)) == 4
        assert 0.15 < batches.waited_s < 2
    with Prefetcher(SlowSource(delay_s=0.02), PLAN, start=0, stop=4) as batches:
        for _ in batches:
            time.sleep(0.1)  # a slow trainer never waits but for the first batch
        assert batches.waited_s < 0.1


def test_a_failed_read_reaches_the_trainer() -> None:
    with (
        pytest.raises(OSError, match="went away"),
        Prefetcher(SlowSource(delay_s=0, fails_at=2), PLAN, start=0, stop=4) as batches,
    ):
        list(batches)


def test_leaving_early_ends_the_thread() -> None:
    with Prefetcher(SlowSource(delay_s=0), PLAN, start=0, stop=1000) as batches:
        next(iter(batches))
    assert not [t for t in threading.enumerate() if t.name == "xnn-batches"]


def test_arrays_that_do_not_fit_are_refused() -> None:
    tokens = np.zeros((3, 2, 2), dtype=np.float32)
    with pytest.raises(ShapeError, match="number the classes from 0"):
        ArraySource(tokens, np.array([0, 1, 5]), num_classes=3)
    with pytest.raises(InsufficientDataError, match="without records"):
        ArraySource(tokens[:0], np.array([], dtype=np.int64), num_classes=2)
