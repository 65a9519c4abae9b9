"""The device as a bench asks it: what a photograph decides is computed once, chance is drawn anew.

Attackers ask about the same photographs again and again, and the networks take nearly all of the
time. Remembering changes no answer: features of a frozen extractor, and z of a front without
chance, are functions of the photograph.
"""

import hashlib
import math
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from xnn.extractors.interface import Extractor
from xnn.models.noise_generator import NoisyFront, clean_features
from xnn.redteam.front_scenario import Send

_AT_ONCE = 64


@final
class Remembered:
    """Results of a function of crops, kept by the bytes of each crop.

    Args:
        compute: Takes a batch of crops, returns a row for each.
    """

    def __init__(self, compute: Send) -> None:
        self._compute = compute
        self._kept: dict[bytes, Float32[np.ndarray, "n d"]] = {}

    def __call__(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b n d"]:
        """Return the rows, computing those of crops that were not seen before."""
        names = [hashlib.blake2b(crop.tobytes(), digest_size=16).digest() for crop in crops]
        new = list({name: i for i, name in enumerate(names) if name not in self._kept}.items())
        for start in range(0, len(new), _AT_ONCE):
            part = new[start : start + _AT_ONCE]
            rows = self._compute(np.array(crops[[i for _, i in part]]))
            self._kept.update(zip((name for name, _ in part), rows, strict=True))
        return np.stack([self._kept[name] for name in names])


def remembered_features(extractor: Extractor) -> Remembered:
    """Return LN_0(E(x)); one such memory serves every front behind the extractor."""

    def compute(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b n d"]:
        tokens = extractor.tokens(torch.from_numpy(crops))
        return clean_features(tokens, extractor.card.d).numpy()

    return Remembered(compute)


def device_of(front: NoisyFront, extractor: Extractor, features: Remembered) -> Send:
    """Return the device: crops in, z out.

    Args:
        front: Trained, in eval mode.
        extractor: In front of it.
        features: Of that extractor. A generator's noise takes more than them: it is computed from
            the crop, once each.
    """

    @torch.no_grad()
    def generated(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b m e"]:
        return front(extractor.prepare(torch.from_numpy(crops))).numpy()

    @torch.no_grad()
    def noised(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b m e"]:
        return front.add_noise(torch.empty(0), torch.from_numpy(features(crops))).numpy()

    return noised if front.generator is None else Remembered(generated)


def on_circle(sent: Float32[np.ndarray, "b 1 e"]) -> Float32[np.ndarray, "b 1 e3"]:
    """Return numbers that are read modulo 1 with their sine and cosine beside them.

    An attacker who knows the scheme reads a coupled z like this: 0.01 and 0.99 are neighbours.
    """
    angles = 2 * math.pi * sent
    return np.concatenate([sent, np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32)


def as_read(front: NoisyFront, send: Send) -> Send:
    """Return the device with z as an attacker reads it who knows the kind of front."""
    if front.coupling is None:
        return send
    return lambda crops: on_circle(send(crops))


def as_opened(front: NoisyFront, send: Send) -> Send:
    """Return the device with z as the server sees it in front of its tail."""
    opener = front.opener()
    if opener is None:
        return send
    found = opener  # bound for the type checker

    @torch.no_grad()
    def opened(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b 1 k"]:
        records: Tensor = found(torch.from_numpy(send(crops)))
        return records.numpy()

    return opened
