"""From a passphrase to a key: scrypt (RFC 7914), with its cost and salt in the open."""

import base64
import binascii
import secrets
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from xnn.errors import ConfigError, CorruptError

MIN_PASSPHRASE_CHARACTERS = 8
_MIN_LOG2_N, _MAX_LOG2_N = 10, 20  # 2**20 takes 1 GiB: a hostile file cannot ask for more


@dataclass(frozen=True, slots=True)
class Stretching:
    """Cost and salt that turn a passphrase into a wrapping key."""

    salt: str
    log2_n: int = 17
    """Cost exponent: 17 takes 128 MiB and about half a second."""
    r: int = 8
    p: int = 1
    name: str = "scrypt"

    def __post_init__(self) -> None:
        costs = (self.log2_n, self.r, self.p)
        known = self.name == "scrypt" and all(type(cost) is int for cost in costs)
        if not known or not _MIN_LOG2_N <= self.log2_n <= _MAX_LOG2_N or (self.r, self.p) != (8, 1):
            raise CorruptError(
                f"stretching is not scrypt with r=8, p=1 and log2_n in {_MIN_LOG2_N}.."
                f"{_MAX_LOG2_N}; the file was altered or comes from another version"
            )

    @classmethod
    def fresh(cls, *, log2_n: int = 17) -> "Stretching":
        """Return one with a new salt from the operating system's CSPRNG."""
        return cls(salt=to_text(secrets.token_bytes(16)), log2_n=log2_n)

    def wrapping_key(self, passphrase: str) -> bytes:
        """Stretch a passphrase to 32 bytes.

        Raises:
            ConfigError: The passphrase is shorter than `MIN_PASSPHRASE_CHARACTERS`.
        """
        if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
            raise ConfigError(
                f"the passphrase has {len(passphrase)} characters, "
                f"at least {MIN_PASSPHRASE_CHARACTERS} are needed"
            )
        stretch = Scrypt(
            salt=to_bytes(self.salt), length=32, n=1 << self.log2_n, r=self.r, p=self.p
        )
        return stretch.derive(passphrase.encode())


def parse_stretching(value: object) -> Stretching:
    """Read a stretching back from a file.

    Raises:
        CorruptError: It is not one.
    """
    try:
        return Stretching(**value)  # type: ignore[arg-type]
    except TypeError as error:
        raise CorruptError("the sealed file's stretching is malformed; restore it") from error


def describe_stretching(stretching: Stretching) -> dict[str, Any]:
    """Return it as JSON."""
    return asdict(stretching)


def to_text(raw: bytes) -> str:
    """Return bytes as base64."""
    return base64.b64encode(raw).decode()


def to_bytes(text: object) -> bytes:
    """Read base64.

    Raises:
        CorruptError: It is not.
    """
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise CorruptError("a sealed field is not base64; restore the file") from error
