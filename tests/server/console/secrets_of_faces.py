"""What must not cross the wire: of photographs, all that shows a face, in any form."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from wiretap import Forbidden
from xnn.device.pipeline import DevicePipeline
from xnn.extractors.interface import Extractor
from xnn.wire import Message, WireLimits, decode
from xnn.wire.layout import MAGIC, PREFIX


@dataclass(frozen=True)
class Secrets:
    """All that must stay on the device, or on the server."""

    photographs: list[Path]
    crops: np.ndarray
    tokens: np.ndarray
    """Plain features of the crops, as the extractor gives them: (b, 16, 256)."""
    normalised: np.ndarray
    """LN_0(E): what the teacher sees and preset `plain` sends."""


def secrets_of(photographs: list[Path], pipeline: DevicePipeline, extractor: Extractor) -> Secrets:
    crops = np.stack([pipeline.capture(path).crop for path in photographs])
    tokens = extractor.tokens(torch.from_numpy(crops))
    normalised = F.layer_norm(tokens, (tokens.shape[-1],))
    return Secrets(photographs, crops, tokens.numpy(), normalised.numpy())


def forbidden_of(secrets: Secrets, embeddings: np.ndarray) -> Forbidden:
    content: dict[str, bytes] = {}
    pictures: list[bytes] = []
    numbers: dict[str, np.ndarray] = {}
    for number, path in enumerate(secrets.photographs):
        with Image.open(path) as photo:
            pixels = np.asarray(photo.convert("RGB"))
        content[f"file {number}"] = path.read_bytes()
        for shown in (pixels, secrets.crops[number]):
            pictures += [shown.tobytes(), shown[..., 1].tobytes()]
            pictures.append(shown.transpose(2, 0, 1).tobytes())
        numbers[f"tokens {number}"] = secrets.tokens[number]
        numbers[f"normalised tokens {number}"] = secrets.normalised[number]
    for number, embedding in enumerate(embeddings):
        numbers[f"embedding {number}"] = embedding
    return Forbidden(content | {"pixels": b"".join(pictures)}, numbers)


def messages_in(stream: bytes, key: bytes) -> list[Message]:
    """Return the messages in what a device said."""
    found, at = [], stream.find(MAGIC)
    while at >= 0:
        _, _, _, header, payload = PREFIX.unpack_from(stream, at)
        content = stream[at : at + 48 + header + payload]
        found.append(decode(content, key, limits=WireLimits()))
        at = stream.find(MAGIC, at + len(content))
    return found
