"""What travels from a device to the service: one versioned, bounded, authenticated message."""

from xnn.wire.authenticity import mac_key
from xnn.wire.codec import decode, encode
from xnn.wire.compose import compose, renew
from xnn.wire.freshness import FreshnessWindow
from xnn.wire.limits import WireLimits
from xnn.wire.message import MEDIA_TYPE, Message, WireDtype
from xnn.wire.numbers import DTYPES

__all__ = [
    "DTYPES",
    "MEDIA_TYPE",
    "FreshnessWindow",
    "Message",
    "WireDtype",
    "WireLimits",
    "compose",
    "decode",
    "encode",
    "mac_key",
    "renew",
]
