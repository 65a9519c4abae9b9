"""What the cloud hands back: the trained tail and the card that says what it is for.

A bundle is a folder of two files. `tail.safetensors` holds the weights; `bundle.json` holds the
card, the digest of the weights and its own, and is written last.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from xnn.errors import ConfigError, CorruptError, FormatError
from xnn.files import disk_errors, open_atomically, read_card, sha256_of_file, write_card
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.types import TokenShape

FORMAT = "xnn-bundle"
FORMAT_VERSION = 1
CARD_NAME = "bundle.json"
WEIGHTS_NAME = "tail.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleCard:
    """What a tail was trained for: it is useless, and refused, under any other key or extractor.

    Raises:
        ConfigError: The tail does not take records of this shape.
    """

    tail: TailConfig
    scheme: str
    scheme_version: int
    key_id: str
    extractor: dict[str, Any]
    """The extractor's card."""
    extractor_digest: str
    n: int
    d: int
    training: dict[str, Any]
    """Preset, steps, best validation and the like; for reading, not for loading."""

    def __post_init__(self) -> None:
        if (self.tail.n, self.tail.d) != (self.n, self.d):
            raise ConfigError(
                f"a tail for {self.tail.n}x{self.tail.d} beside records of {self.shape}; "
                "use the tail that was trained on them"
            )

    @property
    def shape(self) -> TokenShape:
        """Tokens and width of a record."""
        return TokenShape(self.n, self.d)

    @property
    def embedding_dim(self) -> int:
        """Width of the tail's embeddings."""
        return self.tail.output_dim

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "BundleCard":
        """Read `to_dict` back.

        Raises:
            CorruptError: A field is missing, unknown or out of range.
        """
        try:
            return cls(**{**content, "tail": TailConfig.from_dict(content["tail"])})
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(
                f"the bundle's card is malformed: {error}; fetch it again"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A trained tail, in eval mode on the CPU, and its card.

    Trust: the cloud made it and may keep a copy. It embeds only records under its key.
    """

    tail: Tail
    card: BundleCard


def save_bundle(folder: Path, tail: Tail, card: BundleCard) -> None:
    """Write a bundle; an earlier one in the same folder is replaced.

    Raises:
        StorageError: The disk is full or read-only.
    """
    with disk_errors("make the folder of the bundle", folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD_NAME).unlink(missing_ok=True)  # never an old card beside new weights
    weights = {name: t.detach().cpu().contiguous() for name, t in tail.state_dict().items()}
    with open_atomically(folder / WEIGHTS_NAME) as file:
        file.write(safetensors.torch.save(weights))
    digest = sha256_of_file(folder / WEIGHTS_NAME)
    write_card(
        folder / CARD_NAME,
        card.to_dict(),
        form=FORMAT,
        version=FORMAT_VERSION,
        digests={"weights_sha256": digest},
    )


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify every byte of it.

    Raises:
        FormatError: The folder holds no bundle.
        VersionError: Written by another version.
        CorruptError: A file is missing, truncated, altered or does not fit its card.

    Trust: owner or cloud. A digest inside the bundle finds accidents, not a dishonest cloud.
    """
    if not (folder / CARD_NAME).is_file():
        raise FormatError(
            f"{folder.name!r} has no {CARD_NAME}: not a bundle, or its training was interrupted"
        )
    fields, content = read_card(
        folder / CARD_NAME, form=FORMAT, version=FORMAT_VERSION, what="bundle", again="fetch"
    )
    weights_path = folder / WEIGHTS_NAME
    if not weights_path.is_file() or sha256_of_file(weights_path) != content.get("weights_sha256"):
        raise CorruptError(f"{WEIGHTS_NAME!r} is missing or altered; fetch the bundle again")
    card = BundleCard.from_dict(fields)
    tail = Tail(card.tail)
    try:
        tail.load_state_dict(safetensors.torch.load_file(weights_path))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise CorruptError(f"{WEIGHTS_NAME!r} does not fit its card; fetch it again") from error
    return Bundle(tail=tail.eval(), card=card)
