"""Recognisers that are independent of the extractor under attack."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8


@runtime_checkable
class Judge(Protocol):
    """A recogniser of pictures."""

    name: str

    def embed(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b e"]:
        """Return an embedding per picture."""


def judges_for(extractor: str) -> tuple[Judge, ...]:
    """Return the judges that are independent of an extractor."""
    return ()
