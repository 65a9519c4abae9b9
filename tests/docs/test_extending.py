"""The examples of the page on adding an attack or a defence run, and do what it says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import Observation, OwnFaces
from xnn.errors import InsufficientDataError
from xnn.keystream import KeyStream
from xnn.schemes import find_scheme
from xnn.types import TokenShape

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "extending.md"
N, D = 4, 12
PEOPLE, SHOTS = 12, 5


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    found: dict[str, object] = {"__name__": "example"}
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(examples) == 2
    for source in examples:
        exec(compile(source, "example", "exec"), found)  # noqa: S102  our own page
    return found


def faces(tokens: np.ndarray, labels: np.ndarray) -> OwnFaces:
    return OwnFaces(
        crops=np.zeros((len(labels), 112, 112, 3), dtype=np.uint8),
        tokens=tokens.astype(np.float32),
        embeddings=np.zeros((len(labels), 4), dtype=np.float32),
        labels=labels,
    )


def observed(scheme: str, num_public: int = 40) -> tuple[Observation, np.ndarray]:
    """Records of people who are in their tokens, a clean photograph of each, and who is on each."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(PEOPLE), SHOTS)
    inner = rng.normal(size=(PEOPLE, N, D))[labels] + 0.3 * rng.normal(size=(len(labels), N, D))
    tokens = torch.from_numpy((1.0 + inner).astype(np.float32))
    first = np.unique(labels, return_index=True)[1]
    sent = np.setdiff1d(np.arange(len(labels)), first)
    owner = find_scheme(scheme).bind(TokenShape(N, D), KeyStream(bytes(32)))
    others = 1.0 + rng.normal(size=(num_public, N, D))
    observation = Observation(
        scheme=scheme,
        shape=TokenShape(N, D),
        knowledge=Knowledge(),
        records=owner.obfuscate(tokens[sent]).numpy(),
        labels=None,
        probes=np.arange(len(sent)),
        gallery=faces(tokens[first].numpy(), labels[first]),
        public=faces(others, np.arange(num_public)),
    )
    return observation, labels[sent]


@pytest.mark.parametrize(
    ("scheme", "broken"),
    [("plain", True), ("paper-permutation-only", True), ("paper", False)],
)
def test_the_attack_breaks_what_it_says(names, tmp_path: Path, scheme: str, broken: bool) -> None:
    attack = names["MeanToken"]()
    observation, people = observed(scheme)
    assert attack.refusal(find_scheme(scheme).card, observation) is None
    found = attack.run(observation, seed=0, work_dir=tmp_path).scores.argmax(axis=1) == people
    assert bool(found.mean() > 0.7) is broken


def test_the_attack_says_how_much_it_needs(names, tmp_path: Path) -> None:
    observation, _ = observed("plain", num_public=3)
    with pytest.raises(InsufficientDataError, match=r"3 public faces; .* at least 8"):
        names["MeanToken"]().run(observation, seed=0, work_dir=tmp_path)


def test_the_defence_has_its_inverse(names) -> None:
    scheme = names["SecretSigns"]()
    owner = scheme.bind(TokenShape(N, D), KeyStream(bytes(32)))
    features = torch.randn(5, N, D, generator=torch.Generator().manual_seed(0))
    records = owner.obfuscate(features)
    assert not torch.equal(records, features)
    assert torch.equal(records.abs(), features.abs())
    assert torch.equal(owner.deobfuscate(records), features)
