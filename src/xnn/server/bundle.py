"""A server bundle on disk: the student, what stands in front of it, and the card.

A folder of `student.safetensors` and `server.json`, which holds every digest and is written last.
"""

from pathlib import Path
from typing import final

import safetensors
import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from xnn.errors import CorruptError, ShapeError
from xnn.files import disk_errors, open_atomically, sha256_of_file, write_card
from xnn.models.coupling import Coupling
from xnn.models.noise_generator import Opener
from xnn.models.tail import Tail
from xnn.server.card import (
    CARD_NAME,
    FORMAT,
    FORMAT_VERSION,
    WEIGHTS_NAME,
    ServerCard,
    read_server_card,
)
from xnn.training.checkpoint import under_prefix, with_prefix

_BATCH = 256


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
    card = read_server_card(folder)
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
