"""What the trainer sees of a data set: records by index, and their labels."""

from typing import Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from xnn.errors import InsufficientDataError, ShapeError
from xnn.types import TokenShape


@runtime_checkable
class RecordSource(Protocol):
    """Records in a fixed order, each n tokens of width d with a label.

    Shards implement it; an attack may implement it with a fresh key at every read.
    """

    @property
    def shape(self) -> TokenShape:
        """Tokens per record and their width."""

    @property
    def labels(self) -> Int64[np.ndarray, " records"]:
        """Class index of every record."""

    @property
    def num_classes(self) -> int:
        """Class indices run from 0 to this, exclusive."""

    def __len__(self) -> int: ...

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b n d"]:
        """Return the records of these positions, in this order."""


@final
class ArraySource:
    """Records held in memory.

    Args:
        tokens: One record per row, float32.
        labels: Class index of every record, from 0.
        num_classes: None takes the highest label plus one.

    Raises:
        ShapeError: Tokens and labels do not fit together.
        InsufficientDataError: There is no record.
    """

    def __init__(
        self,
        tokens: Float32[np.ndarray, "records n d"],
        labels: Int64[np.ndarray, " records"],
        *,
        num_classes: int | None = None,
    ) -> None:
        if len(tokens) != len(labels):
            raise ShapeError(f"{len(tokens)} records but {len(labels)} labels; give one for each")
        if len(labels) == 0:
            raise InsufficientDataError("a source without records; check the split it came from")
        highest = int(labels.max())
        self.num_classes = highest + 1 if num_classes is None else num_classes
        if labels.min() < 0 or highest >= self.num_classes:
            raise ShapeError(
                f"labels run from {labels.min()} to {highest}, "
                f"expected 0 to {self.num_classes - 1}; number the classes from 0"
            )
        self.shape = TokenShape(tokens.shape[1], tokens.shape[2])
        self.labels = labels
        self._tokens = tokens

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b n d"]:
        """Return the records of these positions, in this order."""
        return self._tokens[indices]
