"""One cell of a board: one scheme, one attack, one seed. Runs in a process of its own."""

import functools
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.suite import find_attack
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.models.tail import Tail
from xnn.redteam.attempt import Found, attempt
from xnn.redteam.casting import Sizes
from xnn.redteam.duplicates import copies_in_public
from xnn.redteam.judges import Judge, judges_for
from xnn.redteam.party import Party, opened_party
from xnn.redteam.scenario import Scenario
from xnn.redteam.trials import Trial
from xnn.schemes import find_scheme
from xnn.training.loop import fit, new_tail_and_head
from xnn.training.presets import adamw, adamw_tail
from xnn.training.source import ArraySource

_CROPS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSpec:
    """Everything that decides a cell; plain data, to be sent to another process."""

    victim: Path
    """Kept arrays of the victims' party."""
    public: Path | None
    extractor: str
    split_depth: int | None
    scheme: str
    trial: Trial
    seed: int
    sizes: Sizes

    @property
    def name(self) -> str:
        """What the cell is, for people."""
        return f"{self.trial.name} on {self.scheme}, seed {self.seed}"

    def facts(self) -> dict[str, Any]:
        """Return what names the cell on disk."""
        return {
            "measurement": "board",
            "victim": self.victim.name,
            "public": None if self.public is None else self.public.name,
            "extractor": self.extractor,
            "split_depth": self.split_depth,
            "scheme": self.scheme,
            "scheme_version": find_scheme(self.scheme).card.version,
            "attack": self.trial.attack,
            "knowledge": self.trial.knowledge.to_dict(),
            "seed": self.seed,
            "sizes": asdict(self.sizes),
        }


def run_cell(spec: CellSpec) -> Found:
    """Play one scenario, attack it and judge the answer."""
    attack, scenario = find_attack(spec.trial.attack), scenario_of(spec)
    knowledge = spec.trial.knowledge
    return attempt(
        attack,
        find_scheme(spec.scheme).card,
        lambda: scenario.play(spec.scheme, attack.card, knowledge, seed=spec.seed),
        lambda: _taught_judges(replace(spec, scheme="plain", trial=_any_attack(knowledge))),
        seed=spec.seed,
    )


def _any_attack(knowledge: Knowledge) -> Trial:
    """Return one trial for all attacks that are granted the same: their cast is the same too."""
    return Trial(attack="", knowledge=knowledge)


@functools.lru_cache(maxsize=2)
def _taught_judges(spec: CellSpec) -> tuple[Judge, ...]:
    """Return judges, taught once for all schemes and attacks of the same cast."""
    bystanders = scenario_of(spec).bystanders(spec.trial.knowledge, seed=spec.seed)
    return judges_for(spec.extractor, bystanders)


def scenario_of(spec: CellSpec) -> Scenario:
    """Return the scenario of a cell, its parties opened and shared by the cells of a process."""
    return Scenario(
        victim=opened_party(spec.victim),
        public=None if spec.public is None else _without_copies(spec.victim, spec.public),
        sizes=spec.sizes,
        tokens_of=functools.partial(_tokens, spec.extractor, spec.split_depth),
        train_tail=functools.partial(train_tail, seed=spec.seed),
    )


def train_tail(
    records: Float32[np.ndarray, "r m e"], labels: Int64[np.ndarray, " r"], *, seed: int
) -> Tail:
    """Train the tail that the cloud would, with the default recipe and nothing held out."""
    m, e = records.shape[1:]
    _, labels = np.unique(labels, return_inverse=True)
    source = ArraySource(records, labels.astype(np.int64))
    config = adamw(seed=seed, accelerator="cpu", imprint_head=True)
    tail, head = new_tail_and_head(adamw_tail(m, e), source.num_classes, config)
    with tempfile.TemporaryDirectory(prefix="xnn-tail-") as folder:
        fit(source, None, tail, head, config, Path(folder) / "run")
    return tail


@functools.lru_cache(maxsize=1)
def _without_copies(victim: Path, public: Path) -> Party:
    party = opened_party(public)
    copies = copies_in_public(opened_party(victim), party)
    return party.without(copies) if len(copies) else party


@functools.lru_cache(maxsize=1)
def _extractor(name: str, split_depth: int | None) -> Extractor:
    return load_extractor(name, split_depth=split_depth)


def _tokens(
    name: str, split_depth: int | None, crops: UInt8[np.ndarray, "b 112 112 3"]
) -> Float32[np.ndarray, "b n d"]:
    extractor = _extractor(name, split_depth)
    parts = [
        extractor.tokens(torch.from_numpy(crops[i : i + _CROPS_AT_ONCE])).numpy()
        for i in range(0, len(crops), _CROPS_AT_ONCE)
    ]
    return np.concatenate(parts)
