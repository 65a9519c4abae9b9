"""The audit of a bundle, on made-up faces: one that hides nothing, and one that does."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xnn.bench.cells import CellStore
from xnn.device.bundle import DeviceBundle
from xnn.device.card import DeviceCard
from xnn.errors import ConfigError, InsufficientDataError
from xnn.extractors.catalog import load_extractor
from xnn.redteam import front_audit
from xnn.redteam.front_audit import CONTROL, FrontCase, front_attacks, run_front_audit, sender_of
from xnn.redteam.party import Party
from xnn.redteam.policy import DEFAULT_POLICY, FRONT_POLICY

POLICY = dataclasses.replace(FRONT_POLICY, probes=60, public=120, learned_attacks=False)
SIDE = 4


def read(crops: np.ndarray) -> np.ndarray:
    """The made-up extractor behind LN: what is in the coarse picture, as six tokens."""
    small = crops[:, ::28, ::28, 0].astype(np.float32).reshape(len(crops), SIDE * SIDE)
    turn = np.random.default_rng(5).normal(size=(SIDE * SIDE, 6 * 12))
    tokens = ((small - 128.0) / 40.0 @ turn).reshape(-1, 6, 12)
    spread = tokens.std(axis=2, keepdims=True)
    return ((tokens - tokens.mean(axis=2, keepdims=True)) / spread).astype(np.float32)


class Session:
    """An ONNX session that sends clean features, or noise that has nothing to do with the face."""

    def __init__(self, *, hides: bool) -> None:
        self._hides = hides
        self._rng = np.random.default_rng(0)

    def run(self, _: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        sent = read(given["crops"])
        return [self._rng.normal(size=sent.shape).astype(np.float32) if self._hides else sent]


def bundle(session: Any, noise: str = "gaussian") -> DeviceBundle:
    card = DeviceCard(
        front_id=f"{noise}{session.__dict__.get('_hides')}", extractor={}, extractor_digest="",
        front={"noise": noise}, m=6, e=12, fresh_shape=[1], tolerance=0.0, measured={},
        scheme="made-up",
    )  # fmt: skip
    return DeviceBundle(card, session)


@pytest.fixture
def case(
    make_party: Callable[..., Party], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FrontCase]:
    monkeypatch.setattr(front_audit, "remembered_features", lambda extractor: read)
    extractor = load_extractor("dlib")

    def seen(party: Party) -> Party:
        tokens = read(np.asarray(party.faces.crops))
        return dataclasses.replace(party, faces=party.faces.with_tokens(tokens))

    def make(*, hides: bool, public: bool = True, people: int = 12) -> FrontCase:
        return FrontCase(
            bundle=bundle(Session(hides=hides)),
            extractor=extractor,
            victim=seen(make_party("victim", 1, people, 6)),
            public=seen(make_party("public", 2, 20, 6)) if public else None,
        )

    return make


@pytest.mark.parametrize("hides", [False, True])
def test_what_hides_nothing_fails_and_what_is_noise_holds(
    case: Callable[..., FrontCase], tmp_path: Path, hides: bool
) -> None:
    done: list[str] = []
    result = run_front_audit(case(hides=hides), POLICY, CellStore(tmp_path), on_cell=done.append)
    assert result.passed is hides, result.reason
    assert len(done) == front_audit.num_front_cells(POLICY) == 2 * len(front_attacks(POLICY))
    schemes = {row["scheme"] for row in result.rows}
    assert schemes == {"front made-up", CONTROL}
    assert all(row["known_level"] == "K5" for row in result.rows)
    assert result.lines[0].worst is not None
    assert result.lines[0].worst["scheme"] == "front made-up"
    assert not any("white-box" in text for text in done), "the server is not in their hands"


def test_a_second_audit_measures_nothing_anew(
    case: Callable[..., FrontCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = CellStore(tmp_path)
    first = run_front_audit(case(hides=False), POLICY, cells)
    monkeypatch.setattr(front_audit, "attempt", lambda *_, **__: pytest.fail("measured again"))
    assert run_front_audit(case(hides=False), POLICY, cells).lines == first.lines


def test_nobody_is_suspect_and_attacker(case: Callable[..., FrontCase]) -> None:
    one = case(hides=False, public=False)
    scenarios = one.scenarios(POLICY, seed=3)
    scenario = scenarios[one.name]
    crops = {crop.tobytes() for crop in scenario.suspects.crops}
    assert not crops & {crop.tobytes() for crop in scenario.public.crops}
    assert len(np.unique(scenario.suspects.labels)) == 6
    assert np.array_equal(scenarios[CONTROL].suspects.labels, scenario.suspects.labels)
    assert one.bystanders(POLICY) is None


def test_a_coupled_z_is_read_on_the_circle() -> None:
    session = SimpleNamespace(run=lambda _, given: [np.full((len(given["crops"]), 1, 2), 0.25)])
    send = sender_of(bundle(session, noise="coupled"))
    read_z = send(np.zeros((3, 112, 112, 3), dtype=np.uint8))
    assert np.allclose(read_z[0, 0], [0.25, 0.25, 1, 1, 0, 0], atol=1e-6)


def test_too_few_people_and_a_policy_about_uploads(
    case: Callable[..., FrontCase], tmp_path: Path
) -> None:
    with pytest.raises(InsufficientDataError, match=r"3 suspects.* at least 4"):
        run_front_audit(case(hides=False, people=3), POLICY, CellStore(tmp_path))
    with pytest.raises(ConfigError, match="phase = 'inference'"):
        run_front_audit(case(hides=False), DEFAULT_POLICY, CellStore(tmp_path))
