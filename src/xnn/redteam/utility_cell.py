"""What a scheme costs in recognition, on the same photographs that a board attacks.

One line needs no cloud: the mean of the extractor's tokens, compared as it is. What a scheme's tail
reaches beyond it is what the upload has gained.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from xnn.bench.utility import UtilitySettings, evaluate_split, train_and_test
from xnn.faces.dataset import FaceSet, Sample
from xnn.faces.splits import SplitSettings, split_faces
from xnn.metrics.evaluation import Measured
from xnn.redteam.party import Party, opened_party
from xnn.schemes import KeyStream, find_scheme
from xnn.training.presets import adamw, adamw_tail
from xnn.types import SubjectId, TokenShape

NOTHING_UPLOADED = "nothing-uploaded"
"""In the place of a scheme's name: no record, no key, no tail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilitySpec:
    """Everything that decides a cell; plain data, to be sent to another process."""

    victim: Path
    extractor: str
    scheme: str
    seed: int
    epochs: int = 10

    @property
    def name(self) -> str:
        """What the cell is, for people."""
        return f"utility of {self.scheme}, seed {self.seed}"

    @property
    def _version(self) -> int:
        return 1 if self.scheme == NOTHING_UPLOADED else find_scheme(self.scheme).card.version

    def facts(self) -> dict[str, Any]:
        """Return what names the cell on disk."""
        return {
            "measurement": "board utility",
            "victim": self.victim.name,
            "extractor": self.extractor,
            "scheme": self.scheme,
            "scheme_version": self._version,
            "seed": self.seed,
            "epochs": self.epochs,
            "split": asdict(SplitSettings()),
        }


def run_utility_cell(spec: UtilitySpec) -> tuple[tuple[Measured, ...], dict[str, Any]]:
    """Train the default tail on the records of a new key and test it by person and by image.

    Crops are not mirrored: half the data of `xnn bench utility`, for every scheme alike.

    Raises:
        InsufficientDataError: Too few subjects or images to divide.
    """
    party = opened_party(spec.victim)
    split = split_faces(_as_face_set(party), SplitSettings(seed=spec.seed))
    if spec.scheme == NOTHING_UPLOADED:
        return _at_home(split, party, spec.seed)
    scheme = find_scheme(spec.scheme)
    shape = TokenShape(*party.faces.tokens.shape[1:])
    record = scheme.record_shape(shape)
    settings = UtilitySettings(
        schemes=(spec.scheme,),
        seeds=1,
        train=adamw(epochs=spec.epochs, accelerator="cpu"),
        tail=adamw_tail(record.n, record.d),
        split=SplitSettings(seed=spec.seed),
        mirror=False,
    )
    features = _PartyTable(party, reads="features").of(split.only("train").samples)
    obfuscator = scheme.fit(features).bind(shape, KeyStream.fresh())
    table = _PartyTable(party, reads=scheme.card.reads)
    most = scheme.card.photographs_per_class
    return train_and_test(split, table, obfuscator, settings, spec.seed, photographs_per_class=most)


def _at_home(
    split: FaceSet, party: Party, seed: int
) -> tuple[tuple[Measured, ...], dict[str, Any]]:
    """Test the mean tokens less their mean over the training photographs."""
    start = time.monotonic()
    table = _PartyTable(party, reads="features")
    centre = table.of(split.only("train").samples).mean(axis=(0, 1))
    measured = evaluate_split(split, lambda part: table.of(part).mean(axis=1) - centre, seed)
    return measured, {"wall_s": time.monotonic() - start}


@final
class _PartyTable:
    """Rows of a party by sample, whose path is the row's number."""

    def __init__(self, party: Party, *, reads: str) -> None:
        self._rows = party.faces.crops if reads == "crops" else party.faces.tokens

    def of(self, samples: tuple[Sample, ...], *, mirror: bool = False) -> np.ndarray:
        """Return the rows of samples; there are no mirror images."""
        return self._rows[[int(sample.path.name) for sample in samples]]


def _as_face_set(party: Party) -> FaceSet:
    """Return the party as a face set to divide, its subjects named by their numbers."""
    samples = tuple(
        Sample(path=Path(str(row)), subject=SubjectId(f"{label:06d}"))
        for row, label in enumerate(party.faces.labels)
    )
    return FaceSet(name=party.name, samples=samples)
