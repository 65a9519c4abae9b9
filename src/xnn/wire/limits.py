"""How large a message may be: judged before anything is allocated for it."""

from dataclasses import dataclass

from xnn.errors import ConfigError, WireError
from xnn.wire.layout import FRAME_BYTES, MAX_HEADER_BYTES

_WIDEST = 4
"""Bytes of a float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    """What a reader accepts; `for_bundle` is what a server wants."""

    max_bytes: int = 8 << 20
    """Of a whole message. An HTTP body may be cut off here."""
    max_records: int = 32
    max_m: int = 1024
    max_e: int = 4096

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_records", "max_m", "max_e"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 1")

    @classmethod
    def for_bundle(cls, m: int, e: int, *, max_records: int = 32) -> "WireLimits":
        """Return the limits that let through just what a bundle of m x e can read.

        Raises:
            ConfigError: One of them is below 1.
        """
        numbers = max_records * (m * e * _WIDEST + _WIDEST)
        max_bytes = FRAME_BYTES + MAX_HEADER_BYTES + numbers
        return cls(max_bytes=max_bytes, max_records=max_records, max_m=m, max_e=e)

    def check_size(self, num_bytes: int) -> None:
        """Refuse a message by its length.

        Raises:
            WireError: More than `max_bytes`.
        """
        if num_bytes > self.max_bytes:
            raise WireError(
                f"the message has {num_bytes} bytes, at most {self.max_bytes} are accepted; "
                "send fewer records at once"
            )

    def check_shape(self, records: int, m: int, e: int) -> None:
        """Refuse a message by the shape that its header states.

        Raises:
            WireError: More records, tokens or numbers in a token than accepted.
        """
        stated = (("records", records, self.max_records), ("m", m, self.max_m))
        for name, found, most in (*stated, ("e", e, self.max_e)):
            if found > most:
                raise WireError(
                    f"the message has {name}={found}, at most {most} is accepted; "
                    "use the device bundle of this service, and fewer records at once"
                )
