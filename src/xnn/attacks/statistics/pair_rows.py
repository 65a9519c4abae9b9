"""Where known pairs stand in the upload: which record each is, and so which class."""

import numpy as np
from jaxtyping import Float32, Int64

from xnn.attacks.observation import KnownPairs


def rows_of_pairs(
    pairs: KnownPairs, records: Float32[np.ndarray, "r m e"]
) -> Int64[np.ndarray, " k"]:
    """Return the row of each pair's record among the records held, -1 for one that is not there."""
    row_of = {record.tobytes(): row for row, record in enumerate(records)}
    return np.array([row_of.get(record.tobytes(), -1) for record in pairs.records], dtype=np.int64)
