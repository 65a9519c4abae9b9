"""A server bundle's card: what its student reads, and the digest of its weights."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xnn.errors import CorruptError, FormatError
from xnn.files import read_card, sha256_of_file
from xnn.metrics.calibration import Calibration
from xnn.models.tail_config import TailConfig
from xnn.wire.message import WireDtype
from xnn.wire.numbers import wire_dtypes

FORMAT = "xnn-server"
FORMAT_VERSION = 2
CARD_NAME = "server.json"
DEVICE_CARD_NAME = "device.json"
WEIGHTS_NAME = "student.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCard:
    """What a student reads. Nothing of the people it was trained on."""

    front_id: str
    """Of the device bundle whose records it reads: it is useless with any other."""
    tail: TailConfig
    m: int
    """Tokens of z."""
    e: int
    """Width of a token of z."""
    coupling: dict[str, Any] | None
    """Width, rounds and gain of the shared secret before the tail; None where there is none."""
    training: dict[str, Any]
    """Preset and validation, for reading."""
    calibration: Calibration | None = None
    """Thresholds; None where no people were kept to choose them by."""
    dtypes: tuple[WireDtype, ...] = ("float32",)
    """In which records may travel: with these no score moved by more than `dtype_tolerance`."""
    dtype_tolerance: float = 0.0
    """Largest change of a cosine that was allowed."""
    dtype_changes: dict[str, float] = field(default_factory=dict)
    """Largest change of a cosine that was met, by dtype."""

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "ServerCard":
        """Read `to_dict` back.

        Raises:
            CorruptError: A field is missing, unknown or out of range.
        """
        try:
            known = content["calibration"]
            return cls(
                **{
                    **content,
                    "tail": TailConfig.from_dict(content["tail"]),
                    "calibration": None if known is None else Calibration.from_dict(known),
                    "dtypes": wire_dtypes(content["dtypes"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(
                f"the server's card is malformed: {error}; export the bundle again"
            ) from error


def read_server_card(folder: Path) -> ServerCard:
    """Read a server bundle's card and verify every byte of the bundle.

    Raises:
        FormatError: The folder holds no server bundle; a device's is named as such.
        VersionError: Written by another version.
        CorruptError: A file is missing or altered.

    Trust: server.
    """
    if not (folder / CARD_NAME).is_file():
        if (folder / DEVICE_CARD_NAME).is_file():
            raise FormatError(
                f"{folder.name!r} is a device's bundle: it holds a front and no student; "
                "a server needs its own bundle"
            )
        raise FormatError(f"{folder.name!r} has no {CARD_NAME}: not a server bundle")
    fields, content = read_card(
        folder / CARD_NAME,
        form=FORMAT,
        version=FORMAT_VERSION,
        what="server bundle",
        again="export",
    )
    path = folder / WEIGHTS_NAME
    if not path.is_file() or sha256_of_file(path) != content.get("weights_sha256"):
        raise CorruptError(f"{WEIGHTS_NAME!r} is missing or altered; export the bundle again")
    return ServerCard.from_dict(fields)
