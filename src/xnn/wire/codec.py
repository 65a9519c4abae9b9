"""A message as bytes and back; see WIRE_FORMAT.md and `layout.py`."""

import math

from xnn.errors import ShapeError, WireError
from xnn.wire.authenticity import is_tag_of, tag_of
from xnn.wire.header import read_header, write_header
from xnn.wire.layout import (
    FRAME_BYTES,
    MAGIC,
    MAX_HEADER_BYTES,
    PREFIX,
    TAG_BYTES,
    VERSION,
    checksum,
)
from xnn.wire.limits import WireLimits
from xnn.wire.message import Message
from xnn.wire.numbers import pack, payload_bytes, unpack

_LARGEST_PAYLOAD = (1 << 32) - 1


def encode(message: Message, key: bytes) -> bytes:
    """Return a message as it travels.

    Args:
        message: Its numbers are rounded to its dtype.
        key: From `mac_key`.

    Raises:
        ConfigError: A field is not of its form, or the key is none.
        ShapeError: The records are NaN, infinite, too large for the dtype, or more than 4 GiB.

    Trust: device. What comes out may leave.
    """
    header, payload = write_header(message), pack(message.records, message.dtype)
    if len(payload) > _LARGEST_PAYLOAD:
        raise ShapeError(f"the records take {len(payload)} bytes, at most 4 GiB fit; send fewer")
    prefix = PREFIX.pack(MAGIC, VERSION, 0, len(header), len(payload))
    content = b"".join((prefix, header, payload))
    content += checksum(content)
    return content + tag_of(content, key)


def decode(content: bytes, key: bytes, *, limits: WireLimits) -> Message:
    """Read a message that a holder of the key made.

    Sizes are judged first, then damage, then who made it; only then is anything parsed. Whether it
    is fresh and for this service is for `FreshnessWindow` and the caller to say.

    Args:
        content: All of it.
        key: From `mac_key`, of the API key that came along.
        limits: What is accepted.

    Returns:
        The message; its records are finite float32 whatever they travelled as.

    Raises:
        WireError: Anything at all is wrong with it.
        ConfigError: The key is none: the caller's fault, not the sender's.

    Trust: server. The content may be anybody's until this returns.
    """
    view = memoryview(content)
    header_end, payload_end = _frame(view, limits)
    tagged = len(view) - TAG_BYTES
    if view[payload_end:tagged] != checksum(view[:payload_end]):
        raise WireError("the message was damaged on its way: its checksum differs; send it again")
    if not is_tag_of(view[tagged:], view[:tagged], key):
        raise WireError(
            "the message was not made under this API key, or was altered; "
            "make it with the key that it is sent with"
        )
    header = read_header(bytes(view[PREFIX.size : header_end]))
    limits.check_shape(*header.shape)
    payload = view[header_end:payload_end]
    if len(payload) != payload_bytes(header.shape, header.dtype):
        raise WireError(
            f"the payload has {len(payload)} bytes, {math.prod(header.shape)} numbers of "
            f"{header.dtype} take {payload_bytes(header.shape, header.dtype)}; see WIRE_FORMAT.md"
        )
    return Message(
        scheme=header.scheme,
        bundle_id=header.bundle_id,
        key_id=header.key_id,
        records=unpack(payload, header.shape, header.dtype),
        dtype=header.dtype,
        request_id=header.request_id,
        nonce=header.nonce,
        timestamp_ms=header.timestamp_ms,
    )


def _frame(view: memoryview, limits: WireLimits) -> tuple[int, int]:
    """Return where header and payload end, judged by the prefix alone."""
    limits.check_size(len(view))
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise WireError("this is no message of XNN: it begins otherwise; see WIRE_FORMAT.md")
    if len(view) < FRAME_BYTES:
        raise WireError(f"the message ends after {len(view)} bytes; send all of it")
    _, version, zero, header_bytes, payload_size = PREFIX.unpack_from(view)
    if version != VERSION or zero != 0:
        raise WireError(
            f"the message has format {version}, this program reads {VERSION}; "
            "use the program that fits the service"
        )
    if header_bytes > MAX_HEADER_BYTES:
        raise WireError(f"the header has {header_bytes} bytes, at most {MAX_HEADER_BYTES}")
    stated = FRAME_BYTES + header_bytes + payload_size
    if stated != len(view):
        raise WireError(
            f"the message has {len(view)} bytes and states {stated}; it was cut or extended: "
            "send it again"
        )
    header_end = PREFIX.size + header_bytes
    return header_end, header_end + payload_size
