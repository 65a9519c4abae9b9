"""Records as they are asked of the student's process: what their numbers are, then the numbers."""

import numpy as np
from jaxtyping import Float

from xnn.errors import FormatError

_KIND_BYTES = 8


def write_question(records: Float[np.ndarray, "b m e"]) -> bytes:
    """Return records as a question; float64 stays so: a coupled z needs all digits it came with."""
    numbers = np.ascontiguousarray(records, "<f8" if records.dtype == np.float64 else "<f4")
    return b"".join((numbers.dtype.str.encode().ljust(_KIND_BYTES), numbers.data.cast("B")))


def read_question(content: bytes, m: int, e: int) -> Float[np.ndarray, "b m e"]:
    """Read `write_question` back; the numbers may be written to.

    Raises:
        FormatError: It is none.
    """
    kind = content[:_KIND_BYTES].rstrip()
    if kind not in (b"<f4", b"<f8"):
        raise FormatError(f"a question of {len(content)} bytes begins otherwise than one does")
    numbers = np.frombuffer(bytearray(content), kind.decode(), offset=_KIND_BYTES)
    return numbers.reshape(-1, m, e)
