"""A message from a device to the service, as both sides see it; `codec.py` turns it into bytes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from xnn.types import KeyId

WireDtype = Literal["float32", "float16", "int8", "fixed32"]
"""How numbers travel: int8 with one scale for each record, fixed32 for numbers on the circle."""

MEDIA_TYPE = "application/vnd.xnn.records"
"""Content type of a message in HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Protected records of one or more captures, and what protects them against reuse.

    Trust: crosses the border from device to server.
    """

    scheme: str
    """Preset of the front, as on its card: `xnn`, `paper`, ..."""
    bundle_id: str
    """`front_id` of the device bundle: 64 hexadecimal digits."""
    key_id: KeyId | None
    """Of the owner's key, where records are keyed as well; else None."""
    records: Float[np.ndarray, "b m e"]
    """z of each capture; finite. float64 where they travel as fixed32, else float32."""
    dtype: WireDtype
    request_id: str
    """32 hexadecimal digits. A repeated request is answered as before and changes nothing."""
    nonce: bytes
    """16 bytes that the device never uses twice."""
    timestamp_ms: int
    """When it was made, by the device's clock: milliseconds since 1970, UTC."""
