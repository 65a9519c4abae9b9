"""Which dtypes a student survives, by students whose answer is known."""

import numpy as np
import pytest

from xnn.errors import ConfigError
from xnn.export.dtypes import score_changes, surviving
from xnn.metrics import cosine_scores
from xnn.wire.numbers import DTYPES, through_wire


@pytest.fixture
def sent() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(12, 4, 8)).astype(np.float32)


def flat(records: np.ndarray) -> np.ndarray:
    return records.reshape(len(records), -1)


def wrapped(records: np.ndarray) -> np.ndarray:
    """Read digits that half precision does not have, as the rounds of a coupling do."""
    return np.sin(1e5 * flat(records)).astype(np.float32)


def test_a_change_is_the_largest_of_all_pairs(sent: np.ndarray) -> None:
    changes = score_changes(flat, sent)
    assert changes["float32"] == 0.0
    assert changes["fixed32"] == float("inf")  # these are no numbers from 0 to 1
    for dtype in DTYPES[:3]:
        rounded = flat(through_wire(sent, dtype))
        largest = 0.0
        for other in (rounded, flat(sent)):
            change = cosine_scores(rounded, other) - cosine_scores(flat(sent), flat(sent))
            largest = max(largest, float(np.abs(change).max()))
        assert changes[dtype] == pytest.approx(largest, abs=1e-9)
    assert 0 < changes["float16"] < 1e-3 < changes["int8"] < 0.1


def test_a_student_that_needs_every_digit_survives_float32_alone(sent: np.ndarray) -> None:
    changes = score_changes(wrapped, sent)
    assert min(changes["float16"], changes["int8"]) > 0.3
    assert surviving(changes, tolerance=0.1) == ("float32",)


def test_a_student_of_numbers_on_the_circle_survives_fixed32_alone(sent: np.ndarray) -> None:
    def opened(records: np.ndarray) -> np.ndarray:
        return np.sin(1e5 * flat(records).astype(np.float64)).astype(np.float32)

    changes = score_changes(opened, sent.astype(np.float64) % 1)
    assert changes["fixed32"] < 1e-4 < changes["float32"]
    assert surviving(changes, tolerance=1e-4) == ("fixed32",)
    assert surviving(changes, tolerance=0.0) == ("fixed32",)


def test_records_too_large_for_a_dtype_do_not_survive_it(sent: np.ndarray) -> None:
    changes = score_changes(flat, sent * np.float32(1e5))
    assert changes["float16"] == float("inf")
    assert surviving(changes, tolerance=2.0) == ("float32", "int8")


def test_a_tolerance_decides(sent: np.ndarray) -> None:
    changes = score_changes(flat, sent)
    assert surviving(changes, tolerance=1e-3) == ("float32", "float16")
    assert surviving(changes, tolerance=0.1) == ("float32", "float16", "int8")
    assert surviving(changes, tolerance=0.0) == ("float32",)
    for tolerance in (-1.0, 3.0, float("nan")):
        with pytest.raises(ConfigError, match="no change of a cosine"):
            surviving(changes, tolerance=tolerance)
