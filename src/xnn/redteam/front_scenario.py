"""Device, cloud and attacker of the inference phase: z is intercepted, the device can be had.

The attacker holds z of the probes, clean photographs of the suspects, faces of other people, and
the device itself: any photograph goes in, its z comes out. What it does not hold is the server.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from xnn.attacks.knowledge import Knowledge, PublicFaces
from xnn.attacks.observation import Observation, Oracle, OwnFaces
from xnn.errors import FacesError, InsufficientDataError
from xnn.metrics.identification import gallery_and_probes
from xnn.models.noise_generator import clean_features
from xnn.models.tail import Tail
from xnn.redteam.truth import Truth
from xnn.types import TokenShape

Send = Callable[[UInt8[np.ndarray, "b 112 112 3"]], Float32[np.ndarray, "b m e"]]
"""The device: crops in, z out; random where the front is."""

QUERIES_PER_PHOTOGRAPH = 16
"""Enough for every attack to ask for each of its photographs several times."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FrontScenario:
    """One trained front and the test subjects that nobody trained on."""

    extractor: str
    suspects: OwnFaces
    """All test photographs; labels number the subjects."""
    public: OwnFaces
    """The attacker's own faces, with clean features."""
    public_faces: PublicFaces
    send: Send
    """What the attacker reads of a crop's z; see `front_device`."""

    def play(self, *, seed: int, student: Tail | None) -> tuple[Observation, Truth]:
        """Intercept z of the probes and hand out what each side may see.

        Args:
            seed: Of the chance in z.
            student: The server's tail, for attacks that hold the server.

        Raises:
            FacesError: The attacker has no photograph.
        """
        if len(self.public) == 0:
            raise FacesError("the attacker's public set is empty; give more people")
        gallery, probes = gallery_and_probes(self.suspects.labels)
        knowledge = Knowledge(
            public_faces=self.public_faces,
            chosen_inputs=QUERIES_PER_PHOTOGRAPH * (len(self.public) + len(gallery)),
            labels=False,
        )
        sent = _seeded(self.send, seed)
        asked = self.suspects.at(probes)
        observation = Observation(
            scheme="",
            shape=TokenShape(*self.suspects.tokens.shape[1:]),
            knowledge=knowledge,
            records=sent(asked.crops),
            labels=None,
            probes=np.arange(len(probes)),
            gallery=self.suspects.at(gallery),
            public=self.public,
            oracle=counted(sent, knowledge.chosen_inputs),
            tail=student,
        )
        truth = Truth(
            extractor=self.extractor,
            labels=self.suspects.labels[probes],
            tokens=asked.tokens,
            crops=asked.crops,
        )
        return observation, truth


def counted(send: Send, limit: int) -> Oracle:
    """Return a device that refuses more queries than are granted."""
    left = [limit]

    def ask(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b m e"]:
        if len(crops) > left[0]:
            raise InsufficientDataError(
                f"{len(crops)} queries asked, {left[0]} of {limit} are left"
            )
        left[0] -= len(crops)
        return send(crops)

    return ask


def with_clean_features(faces: OwnFaces) -> OwnFaces:
    """Return faces whose tokens are LN(E(x)), as a front adds noise to them."""
    tokens = torch.from_numpy(np.ascontiguousarray(faces.tokens))
    return faces.with_tokens(clean_features(tokens, tokens.shape[-1]).numpy())


def rows_of(labels: Int64[np.ndarray, " b"], limit: int) -> Int64[np.ndarray, " r"]:
    """Return the photographs of the people with most of them, up to a limit, rising."""
    people, counts = np.unique(labels, return_counts=True)
    ranked = people[np.argsort(-counts, kind="stable")]
    rows = np.concatenate([np.flatnonzero(labels == person) for person in ranked])
    return np.sort(rows[:limit])


def _seeded(send: Send, seed: int) -> Send:
    """Return a device whose chance is new at every call and the same in every repetition."""
    calls = [0]

    def repeatable(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b m e"]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((seed, calls[0])) & 0x7FFFFFFF)
            calls[0] += 1
            return send(crops)

    return repeatable
