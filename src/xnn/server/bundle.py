"""A server bundle on disk: the student, what stands in front of it, and the card.

A folder of `student.safetensors` and `server.json`, which holds every digest and is written last.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import safetensors
import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from xnn.errors import CorruptError, FormatError, ShapeError
from xnn.files import disk_errors, open_atomically, read_card, sha256_of_file, write_card
from xnn.metrics.calibration import Calibration
from xnn.models.coupling import Coupling
from xnn.models.noise_generator import Opener
from xnn.models.tail import Tail, TailConfig
from xnn.training.checkpoint import under_prefix, with_prefix
from xnn.wire.message import WireDtype
from xnn.wire.numbers import wire_dtypes

FORMAT = "xnn-server"
FORMAT_VERSION = 2
CARD_NAME = "server.json"
DEVICE_CARD_NAME = "device.json"
WEIGHTS_NAME = "student.safetensors"
_BATCH = 256


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


@final
class ServerBundle:
    """A student in eval mode.

    Trust: server. It recognises whoever is on a record: this is what it is for.
    """

    def __init__(self, card: ServerCard, tail: Tail, opener: Opener | None) -> None:
        self.card = card
        self._tail = tail.eval().requires_grad_(requires_grad=False)
        self._opener = opener

    @torch.no_grad()
    def embed(self, sent: Float[Tensor, "b m e"]) -> Float[Tensor, "b k"]:
        """Return embeddings of records, not normalised; compare them by cosine.

        Raises:
            ShapeError: The records are not of the card's shape.
        """
        if sent.shape[1:] != (self.card.m, self.card.e):
            raise ShapeError(
                f"records of {'x'.join(map(str, sent.shape[1:]))}, this student reads "
                f"{self.card.m}x{self.card.e}; use the device bundle exported with it"
            )
        parts = [
            self._tail(part.float() if self._opener is None else self._opener(part))
            for part in torch.split(sent, _BATCH)
        ]
        return torch.cat(parts)


def save_server_bundle(folder: Path, tail: Tail, opener: Opener | None, card: ServerCard) -> None:
    """Write a server bundle; an earlier one in the same folder is replaced.

    Raises:
        StorageError: The disk is full or read-only.

    Trust: the owner writes it and gives it to the service.
    """
    with disk_errors("make the folder of the bundle", folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD_NAME).unlink(missing_ok=True)
    tensors = with_prefix("tail", tail.state_dict())
    if opener is not None:
        tensors |= with_prefix("opener", opener.state_dict())
    content = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with open_atomically(folder / WEIGHTS_NAME) as file:
        file.write(safetensors.torch.save(content))
    digest = sha256_of_file(folder / WEIGHTS_NAME)
    write_card(
        folder / CARD_NAME,
        card.to_dict(),
        form=FORMAT,
        version=FORMAT_VERSION,
        digests={"weights_sha256": digest},
    )


def load_server_bundle(folder: Path) -> ServerBundle:
    """Read a server bundle and verify every byte of it.

    Raises:
        FormatError: The folder holds no server bundle; a device's is named as such.
        VersionError: Written by another version.
        CorruptError: A file is missing, altered or does not fit its card.

    Trust: server.
    """
    card = _read_card(folder)
    try:
        tensors = safetensors.torch.load_file(folder / WEIGHTS_NAME)
        with torch.random.fork_rng(devices=[]):
            tail = Tail(card.tail)
        tail.load_state_dict(under_prefix("tail", tensors))
        opener = _opener(card, under_prefix("opener", tensors))
    except (RuntimeError, TypeError, LookupError, ValueError, safetensors.SafetensorError) as error:
        raise CorruptError(f"{WEIGHTS_NAME!r} does not fit its card; export it again") from error
    return ServerBundle(card, tail, opener)


def _opener(card: ServerCard, tensors: dict[str, Tensor]) -> Opener | None:
    if card.coupling is None:
        return None
    opener = Opener(Coupling(**card.coupling), tensors["spread"])
    opener.load_state_dict(tensors)
    return opener


def _read_card(folder: Path) -> ServerCard:
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
