"""The audit of a device's bundle: what it sends, against whoever owns one like it.

The bundle is attacked as it is, ONNX and all: nothing is trained anew. People who were not used to
train its front play the suspects, since nobody may know how well those others are told apart.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from xnn.attacks.base import Attack
from xnn.attacks.knowledge import Knowledge, PublicFaces
from xnn.attacks.suite import ATTACKS
from xnn.bench.cells import CellStore
from xnn.device.bundle import DeviceBundle
from xnn.errors import InsufficientDataError
from xnn.extractors.interface import Extractor
from xnn.redteam.attempt import Found, attempt
from xnn.redteam.audit import AuditResult
from xnn.redteam.board import BoardCells, OnCell
from xnn.redteam.duplicates import copies_in_public
from xnn.redteam.front_device import Remembered, on_circle, remembered_features
from xnn.redteam.front_scenario import (
    QUERIES_PER_PHOTOGRAPH,
    FrontScenario,
    Send,
    rows_of,
    with_clean_features,
)
from xnn.redteam.judges import Bystanders, judges_for
from xnn.redteam.party import Party
from xnn.redteam.policy import Policy, apply
from xnn.redteam.trials import Trial
from xnn.redteam.verdicts import attack_rows

CONTROL = "plain"
"""The same features without noise: what an attack must break in the same run."""
_FEWEST_PEOPLE = 4


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class FrontCase:
    """A bundle, and those who play suspects and attacker."""

    bundle: DeviceBundle
    extractor: Extractor
    victim: Party
    public: Party | None
    """The attacker's faces; None takes half of the victims' people for them."""

    @property
    def public_faces(self) -> PublicFaces:
        """Where the attacker's faces are from."""
        return "same_collection" if self.public is None else "other_collection"

    def scenarios(self, policy: Policy, *, seed: int) -> dict[str, FrontScenario]:
        """Return the bundle's scenario and its control's, with the same people.

        Raises:
            InsufficientDataError: Too few people.
        """
        suspects, own = self._people(seed)
        asked = self.victim.faces.at(_asked(self.victim, suspects, policy.probes, seed))
        faces = with_clean_features(asked.renumbered())
        party = self.victim if self.public is None else self._without_copies()
        rows = np.flatnonzero(np.isin(party.faces.labels, own))
        rows = rows[rows_of(party.faces.labels[rows], policy.public)]
        public = with_clean_features(party.restricted(rows))
        features = remembered_features(self.extractor)
        return {
            name: FrontScenario(
                extractor=self.extractor.card.name,
                suspects=faces,
                public=public,
                public_faces=self.public_faces,
                send=send,
            )
            for name, send in ((self.name, sender_of(self.bundle)), (CONTROL, features))
        }

    @property
    def name(self) -> str:
        """What the bundle is called in rows."""
        return f"front {self.bundle.card.scheme}"

    def bystanders(self, policy: Policy) -> Bystanders | None:
        """Return people who are neither suspects nor the attacker's own, for judges to learn."""
        if self.public is None:
            return None
        labels = self.public.faces.labels
        taken = labels[rows_of(labels, policy.public)]
        return Bystanders.among(self.public.faces, ~np.isin(labels, taken))

    def _people(self, seed: int) -> tuple[Int64[np.ndarray, " s"], Int64[np.ndarray, " o"]]:
        people = np.unique(self.victim.faces.labels)
        own = people[:0] if self.public is None else np.unique(self.public.faces.labels)
        if self.public is None:
            people = np.random.default_rng((seed, 0xF207)).permutation(people)
            own, people = np.split(people, [len(people) // 2])
        for who, found in (("suspects", people), ("people of the attacker's own", own)):
            if len(found) < _FEWEST_PEOPLE:
                raise InsufficientDataError(
                    f"{len(found)} {who}; the audit of a device needs at least {_FEWEST_PEOPLE}, "
                    "with two photographs or more of each: give more with --faces or --public"
                )
        return people, own

    def _without_copies(self) -> Party:
        if self.public is None:
            return self.victim
        copies = copies_in_public(self.victim, self.public)
        return self.public.without(copies) if len(copies) else self.public


def front_attacks(policy: Policy) -> dict[str, Attack]:
    """Return what is tried: every attack on messages by somebody who does not hold the server."""
    return {
        name: attack
        for name, attack in ATTACKS.items()
        if attack.card.phase == "inference"
        and not attack.card.needs_tail
        and (policy.learned_attacks or not attack.card.learned)
    }


def num_front_cells(policy: Policy) -> int:
    """Return how many cells an audit has, its controls among them."""
    return 2 * len(front_attacks(policy)) * policy.seeds


def run_front_audit(
    case: FrontCase, policy: Policy, cells: CellStore, *, on_cell: OnCell | None = None
) -> AuditResult:
    """Attack what a device sends, and the features without noise beside it.

    Args:
        case: See there.
        policy: Its rules with phase "inference", and its budget.
        cells: Finished cells are taken from here and kept here.
        on_cell: Told what has just been finished.

    Raises:
        ConfigError: The policy has no rule about the inference phase.
        InsufficientDataError: Too few people.
    """
    report = on_cell or (lambda text: None)
    rules = policy.about("inference")
    found: dict[tuple[str, Trial], list[Found]] = {}
    for seed in range(policy.seeds):
        for name, scenario in case.scenarios(policy, seed=seed).items():
            for attack in front_attacks(policy).values():
                trial = _trial(attack, policy, case.public_faces)
                facts = _facts(case, policy, name, attack, seed)
                one = cells.load(facts)
                if one is None:
                    one = _attempt(case, policy, attack, scenario, seed)
                    cells.save(facts, *one)
                found.setdefault((name, trial), []).append(one)
                report(f"{attack.card.name} on {name}, seed {seed}")
    board = BoardCells(attacks=found, utility={})
    rows = [
        row | {"phase": "inference"}
        for row in attack_rows(board, extractor=case.extractor.card.name)
    ]
    own = [row for row in rows if row["scheme"] == case.name]
    return AuditResult(lines=apply(rules, own), rows=rows, agreement=None)


def sender_of(bundle: DeviceBundle) -> Send:
    """Return the device as an attacker reads it: a coupled z on the circle, others as they are.

    What depends on the photograph alone is computed once.
    """
    coupled = bundle.card.front.get("noise") == "coupled"

    def send(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b m e"]:
        sent = bundle.send(np.ascontiguousarray(crops)).astype(np.float32)
        return on_circle(sent) if coupled else sent

    return send if bundle.card.fresh_shape else Remembered(send)


def _attempt(
    case: FrontCase, policy: Policy, attack: Attack, scenario: FrontScenario, seed: int
) -> Found:
    return attempt(
        attack,
        None,
        lambda: scenario.play(seed=seed, student=None),
        lambda: judges_for(case.extractor.card.name, case.bystanders(policy)),
        seed=seed,
    )


def _trial(attack: Attack, policy: Policy, public_faces: PublicFaces) -> Trial:
    """Return the column of an attack, with the most queries that any of its seeds may ask."""
    queries = QUERIES_PER_PHOTOGRAPH * (policy.public + policy.probes)
    granted = Knowledge(public_faces=public_faces, chosen_inputs=queries, labels=False)
    return Trial(attack=attack.card.name, knowledge=granted)


def _asked(
    victim: Party, suspects: Int64[np.ndarray, " s"], probes: int, seed: int
) -> Int64[np.ndarray, " r"]:
    """Return rows of the suspects: so many probes, then the photograph that is in the gallery."""
    generator = np.random.default_rng((seed, 0xA5CE))
    labels = victim.faces.labels
    rows = generator.permutation(np.flatnonzero(np.isin(labels, suspects)))
    gallery = rows[np.unique(labels[rows], return_index=True)[1]]
    others = rows[~np.isin(rows, gallery)]
    return np.concatenate([others[:probes], gallery])


def _facts(
    case: FrontCase, policy: Policy, name: str, attack: Attack, seed: int
) -> dict[str, object]:
    return {
        "measurement": "front audit",
        "front_id": case.bundle.card.front_id if name == case.name else CONTROL,
        "victim": case.victim.fingerprint,
        "public": None if case.public is None else case.public.fingerprint,
        "attack": attack.card.name,
        "seed": seed,
        "probes": policy.probes,
        "num_public": policy.public,
    }
