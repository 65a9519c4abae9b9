"""What a device bundle is for, and the digest that ties it to its server."""

from dataclasses import asdict, dataclass
from typing import Any

from xnn.errors import CorruptError
from xnn.types import TokenShape
from xnn.wire.message import WireDtype
from xnn.wire.numbers import wire_dtypes

FORMAT = "xnn-device"
FORMAT_VERSION = 2
CARD_NAME = "device.json"
SERVER_CARD_NAME = "server.json"
"""Seen in a folder, it is the other party's."""
MODEL_NAME = "front.onnx"
INT8_NAME = "front-int8.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCard:
    """Facts about a front. Nothing of the people it was trained on."""

    front_id: str
    """Digest of the front's weights; the server's bundle names the same."""
    extractor: dict[str, Any]
    """The extractor's card."""
    extractor_digest: str
    front: dict[str, Any]
    """Settings of the noise."""
    m: int
    """Tokens of z."""
    e: int
    """Width of a token of z."""
    fresh_shape: list[int]
    """Random numbers that one z takes; empty where z depends on the face alone."""
    tolerance: float
    """Largest difference between ONNX and torch at export, over the root mean square."""
    measured: dict[str, float]
    """Difference, latencies and sizes at export, for reading."""
    scheme: str = "unknown"
    """Name of the preset, as messages state it."""
    dtypes: tuple[WireDtype, ...] = ("float32",)
    """In which z may travel: its server recognises just as well from these."""

    @property
    def sent_shape(self) -> TokenShape:
        """Shape of z."""
        return TokenShape(self.m, self.e)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "DeviceCard":
        """Read `to_dict` back.

        Raises:
            CorruptError: A field is missing or unknown.
        """
        try:
            return cls(**{**content, "dtypes": wire_dtypes(content["dtypes"])})
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(
                f"the device's card is malformed: {error}; export the bundle again"
            ) from error
