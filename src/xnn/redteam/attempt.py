"""One attempt: play the parties, attack, judge; or say why it was not tried."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack
from xnn.attacks.observation import Observation
from xnn.errors import InsufficientDataError
from xnn.metrics.evaluation import Measured
from xnn.redteam.judge import measure
from xnn.redteam.judges import Judge
from xnn.redteam.truth import Truth
from xnn.schemes import SchemeCard

Found = tuple[tuple[Measured, ...], dict[str, Any]]
"""What was measured, and details: seconds, what the attack noticed, or why it was not tried
(`refused`: it does not apply; `too_little`: it needs more data than there is)."""


def attempt(
    attack: Attack,
    scheme: SchemeCard | None,
    play: Callable[[], tuple[Observation, Truth]],
    judges: Callable[[], Sequence[Judge]],
    *,
    seed: int,
) -> Found:
    """Play one scenario, attack it and judge the answer.

    Args:
        attack: What is tried.
        scheme: Card of the scheme; None for a front end that is no keyed scheme.
        play: Plays the parties.
        judges: Asked for only where the answer holds pictures.
        seed: Of the attack and of the judge's resamples.
    """
    start = time.monotonic()
    try:
        observation, truth = play()
        refused = attack.refusal(scheme, observation)
        if refused is not None:
            return (), {"refused": refused, "wall_s": time.monotonic() - start}
        attacking = time.monotonic()
        answer = answer_of(attack, observation, seed=seed)
    except InsufficientDataError as error:
        return (), {"too_little": str(error), "wall_s": time.monotonic() - start}
    attack_s = time.monotonic() - attacking
    measured = measure(
        answer,
        truth,
        observation,
        judges=judges() if answer.pictures is not None else (),
        generator=np.random.default_rng(seed),
    )
    details = {**answer.details, "attack_s": attack_s, "wall_s": time.monotonic() - start}
    return tuple(measured), details


def answer_of(attack: Attack, observation: Observation, *, seed: int) -> Answer:
    """Run an attack with a folder that is gone afterwards.

    Raises:
        InsufficientDataError: The attack needs more data than there is.
    """
    with tempfile.TemporaryDirectory(prefix="xnn-attack-") as folder:
        return attack.run(observation, seed=seed, work_dir=Path(folder) / "run")
