"""How a device makes a message, and makes it anew when it has to try again."""

import dataclasses
import secrets

import numpy as np
from jaxtyping import Float

from xnn.types import KeyId
from xnn.wire.clock import now_ms
from xnn.wire.header import NONCE_BYTES
from xnn.wire.message import Message, WireDtype


def compose(
    records: Float[np.ndarray, "b m e"],
    *,
    scheme: str,
    bundle_id: str,
    dtype: WireDtype = "float32",
    key_id: KeyId | None = None,
) -> Message:
    """Return a new request: a name of its own, a nonce and the time of this computer.

    Trust: device.
    """
    return Message(
        scheme=scheme,
        bundle_id=bundle_id,
        key_id=key_id,
        records=records,
        dtype=dtype,
        request_id=secrets.token_hex(16),
        nonce=secrets.token_bytes(NONCE_BYTES),
        timestamp_ms=now_ms(),
    )


def renew(message: Message) -> Message:
    """Return the same request to be sent once more: same `request_id`, new nonce and time.

    The old bytes sent twice would be a replay.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    return dataclasses.replace(message, nonce=nonce, timestamp_ms=now_ms())
