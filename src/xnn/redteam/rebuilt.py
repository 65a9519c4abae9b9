"""Rebuilt faces beside the truth, for the owner's eyes: what an attacker without the key sees."""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from xnn.attacks.knowledge import Knowledge, PublicFaces
from xnn.attacks.suite import find_attack
from xnn.errors import ConfigError, InsufficientDataError
from xnn.redteam.attempt import answer_of
from xnn.redteam.cell import CellSpec, scenario_of
from xnn.redteam.front_audit import FrontCase
from xnn.redteam.policy import Policy
from xnn.redteam.trials import Trial
from xnn.schemes import find_scheme

_NUM_SHOWN = 8
_ANSWER_PICTURES = ("inversion", "expectation-inverse")
"""Attacks without pairs that answer pictures, the stronger first."""
_FROM_MESSAGES = "z-inversion"

Shown = tuple[UInt8[np.ndarray, "b 112 112 3"], UInt8[np.ndarray, "b 112 112 3"]]
"""Photographs, and what was rebuilt of them."""


def rebuild_faces(base: CellSpec, public_faces: PublicFaces, *, seed: int) -> Shown | None:
    """Replay the upload and return some photographs with what an attack rebuilt of them.

    Args:
        base: Parties, extractor and scheme.
        public_faces: Which faces are the attacker's.
        seed: Of the cast and the attack.

    Returns:
        Truth and pictures; None where no attack without pairs answers pictures of this scheme.

    Trust: owner. Both show faces.
    """
    for name in _ANSWER_PICTURES:
        attack = find_attack(name)
        trial = Trial(attack=name, knowledge=Knowledge(public_faces=public_faces))
        spec = replace(base, trial=trial, seed=seed)
        try:
            observation, truth = scenario_of(spec).play(
                spec.scheme, attack.card, trial.knowledge, seed=seed
            )
            if attack.refusal(find_scheme(spec.scheme).card, observation) is not None:
                continue
            answer = answer_of(attack, observation, seed=seed)
        except (InsufficientDataError, ConfigError):
            continue
        if answer.pictures is not None:
            first = np.unique(truth.labels, return_index=True)[1][:_NUM_SHOWN]
            return truth.crops[first], answer.pictures[first]
    return None


def rebuild_from_front(case: FrontCase, policy: Policy) -> Shown | None:
    """Return some photographs of suspects with what an attacker decoded from their messages.

    Trust: owner. Both show faces.
    """
    scenario = case.scenarios(policy, seed=0)[case.name]
    observation, truth = scenario.play(seed=0, student=None)
    try:
        answer = answer_of(find_attack(_FROM_MESSAGES), observation, seed=0)
    except InsufficientDataError:
        return None
    if answer.pictures is None:
        return None
    first = np.unique(truth.labels, return_index=True)[1][:_NUM_SHOWN]
    return truth.crops[first], answer.pictures[first]
