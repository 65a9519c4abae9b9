"""Inversion: the faces behind the records, rebuilt from features that another attack recovered.

Wraps any attack that answers features, and decodes them with what the attacker learned on its own
photographs. The pictures are judged by recognisers that never saw the extractor.

Source: this project (redteam.md, A7).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.decoding import DecoderSettings, RidgeDecoder
from xnn.attacks.observation import Observation
from xnn.errors import ConfigError
from xnn.schemes import SCHEMES, SchemeCard


@final
class Inversion(Attack):
    """The attack; see the module.

    Args:
        inner: Attacks that answer features; the first that does not refuse is run.
        settings: How features are read.
    """

    card = AttackCard(
        name="inversion",
        phase="training",
        goal="linkage",
        summary="rebuilds faces from features that another attack recovered, with a decoder fitted "
        "to other people's photographs",
        source="this project",
    )

    def __init__(self, inner: Sequence[Attack], settings: DecoderSettings | None = None) -> None:
        if not inner:
            raise ConfigError("inversion wraps no attack; give it at least one")
        self._inner = tuple(inner)
        self._settings = settings or DecoderSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if len(observation.public) == 0:
            return "it learns to decode from photographs of its own, and has none"
        if observation.knowledge.public_faces == "no_faces":
            return "its own photographs show no faces, so that it cannot learn to rebuild them"
        reasons = [attack.refusal(scheme, observation) for attack in self._inner]
        return None if None in reasons else reasons[0]

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Recover features with the first attack that does not refuse, then decode them.

        Args:
            observation: Needs what the inner attack needs, and public photographs.
            seed: Of the inner attack, and of the photographs that the decoder learns from.
            work_dir: For the inner attack.

        Returns:
            The inner attack's answer with pictures.

        Raises:
            InsufficientDataError: As the inner attack; or fewer than 8 public photographs.
            ConfigError: Every inner attack refuses, or it answers no features.

        Trust: adversary.
        """
        inner = self._willing(observation)
        answer = inner.run(observation, seed=seed, work_dir=work_dir)
        if answer.features is None:
            raise ConfigError(
                f"inversion needs features, and {inner.card.name!r} answers none; wrap another"
            )
        decoder = RidgeDecoder.fit(observation.public, seed=seed, settings=self._settings)
        details = {**answer.details, "wrapped": inner.card.name}
        return replace(answer, pictures=decoder.pictures(answer.features), details=details)

    def _willing(self, observation: Observation) -> Attack:
        scheme = SCHEMES[observation.scheme].card if observation.scheme in SCHEMES else None
        for attack in self._inner:
            if attack.refusal(scheme, observation) is None:
                return attack
        raise ConfigError(
            "every attack that inversion wraps refuses here; ask `refusal` before `run`"
        )
