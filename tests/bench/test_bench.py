"""Measurements: finished cells are kept, rows have the columns of the record, leaks are judged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xnn.bench import utility
from xnn.bench.cells import CellStore
from xnn.bench.features import EmbeddingTable, FeatureTable
from xnn.bench.utility import UtilitySettings, measure_utility
from xnn.errors import ConfigError, CorruptError
from xnn.extractors.card import ExtractorCard
from xnn.faces.dataset import FaceSet, Sample
from xnn.faces.splits import SplitSettings
from xnn.metrics.evaluation import evaluate_embeddings
from xnn.models.tail_config import TailConfig
from xnn.schemes.plain import PlainObfuscator
from xnn.training.presets import tiny
from xnn.types import SubjectId

N, D = 4, 16
COLUMNS = ["scheme", "extractor", "protocol", "metric", "value", "low", "high", "chance"]
COLUMNS += ["subjects", "probes", "seeds", "wall_s"]
CARD = ExtractorCard(
    name="toy",
    weights_sha256="0" * 64,
    licence="none",
    origin="made up",
    input_size_px=112,
    pixel_mean=(0.0, 0.0, 0.0),
    pixel_std=(1.0, 1.0, 1.0),
    colour_order="rgb",
    resize="none",
    split_depth=1,
    class_token=False,
    n=N,
    d=D,
)
TRAIN = tiny(accelerator="cpu", epochs=2)
TAIL = TailConfig(n=N, d=D, tail_depth=1, heads=2, input_norm="whiten")
UTILITY = UtilitySettings(
    schemes=("plain", "paper"),
    seeds=2,
    train=TRAIN,
    tail=TAIL,
    split=SplitSettings(test_subjects=3, val_subjects=2, images_per_test_subject=3),
    mirror=False,
)


@pytest.fixture(autouse=True)
def _one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)  # face sets below are relative to it


def face_set(name: str, subjects: int = 10, shots: int = 5) -> FaceSet:
    samples = tuple(
        Sample(path=Path(f"{name}/{s}/{i}.png"), subject=SubjectId(f"{name}-{s}"))
        for s in range(subjects)
        for i in range(shots)
    )
    for sample in samples:  # never opened, but a cell is named by their sizes
        sample.path.parent.mkdir(parents=True, exist_ok=True)
        sample.path.touch()
    return FaceSet(name=name, samples=samples)


def tokens_of(faces: FaceSet) -> np.ndarray:
    """Made-up tokens with the subject in them, in place of an extractor's."""
    rng = np.random.default_rng(len(faces.name))
    centres = {subject: rng.normal(size=(N, D)) for subject in faces.subjects}
    tokens = [centres[s.subject] + 0.3 * rng.normal(size=(N, D)) for s in faces.samples]
    return np.stack(tokens).astype(np.float32)


@pytest.fixture
def features() -> FeatureTable:
    return table(FeatureTable, face_set("victim"))


def table(kind: type, faces: FaceSet) -> FeatureTable:
    """A table of the real type, filled without reading any file."""
    made = kind.__new__(kind)
    tokens = tokens_of(faces)
    made._row = {str(sample.path): i for i, sample in enumerate(faces.samples)}
    made._sides = [tokens, tokens]
    made._embeddings = tokens.mean(axis=1)
    made.wall_s = 1.0
    return made


def test_utility_rows_and_their_columns(features: FeatureTable, tmp_path: Path) -> None:
    faces = face_set("victim")
    said: list[str] = []
    reference = table(EmbeddingTable, faces)
    rows = measure_utility(
        faces,
        CARD,
        features,
        UTILITY,
        CellStore(tmp_path),
        reference=reference,
        report=said.append,
    )
    assert said == ["plain, seed 0", "paper, seed 0", "plain, seed 1", "paper, seed 1"]
    assert all(list(row) == COLUMNS for row in rows)
    assert {row["scheme"] for row in rows} == {"recogniser", "plain", "paper"}
    assert {row["protocol"] for row in rows} == {"by_person", "by_image"}
    for row in rows:
        assert (row["seeds"], row["extractor"]) == (2, "toy")
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    rank_1 = {
        row["scheme"]: row["value"]
        for row in rows
        if (row["protocol"], row["metric"]) == ("by_person", "rank_1")
    }
    assert rank_1["plain"] > 0.6, "three subjects, well apart"
    assert rank_1["recogniser"] > 0.6


def test_finished_cells_are_not_measured_again(
    features: FeatureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = face_set("victim")
    calls: list[tuple[str, int]] = []
    real = utility.train_and_test

    def counted(*arguments: Any, **options: Any) -> Any:
        _, _, obfuscator, _, seed = arguments
        scheme = "plain" if isinstance(obfuscator, PlainObfuscator) else "paper"
        calls.append((scheme, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(utility, "train_and_test", counted)
    with pytest.raises(KeyboardInterrupt):
        measure_utility(faces, CARD, features, UTILITY, CellStore(tmp_path))
    first = measure_utility(faces, CARD, features, UTILITY, CellStore(tmp_path))
    assert calls == [("plain", 0), ("paper", 0), ("plain", 1), ("plain", 1), ("paper", 1)]
    assert measure_utility(faces, CARD, features, UTILITY, CellStore(tmp_path)) == first
    assert len(calls) == 5
    longer = replace(UTILITY, schemes=("plain",), seeds=1, train=replace(TRAIN, epochs=3))
    measure_utility(faces, CARD, features, longer, CellStore(tmp_path))
    assert calls[5:] == [("plain", 0)], "other settings are another cell"


def one_cell(folder: Path) -> tuple[CellStore, dict[str, object], object]:
    store, facts = CellStore(folder), {"scheme": "plain", "seed": 0}
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 3)
    measured = evaluate_embeddings(
        rng.normal(size=(12, 5)), labels, protocol="by_person", generator=rng
    ).measured
    store.save(facts, measured, {"wall_s": 2.0})
    return store, facts, measured


def test_a_cell_comes_back_as_it_was(tmp_path: Path) -> None:
    store, facts, measured = one_cell(tmp_path)
    assert store.load({**facts, "seed": 1}) is None
    again, details = store.load(facts)
    assert details == {"wall_s": 2.0}
    assert len(again) == len(measured)
    for one, other in zip(measured, again, strict=True):
        assert (one.protocol, one.metric, one.chance) == (
            other.protocol,
            other.metric,
            other.chance,
        )
        assert one.bootstrap.value == other.bootstrap.value
        assert np.array_equal(one.bootstrap.replicates, other.bootstrap.replicates)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
@pytest.mark.parametrize("damage", ["cut", "other", "gone", "list"])
def test_a_damaged_cell_is_one_error(tmp_path: Path, suffix: str, damage: str) -> None:
    store, facts, _ = one_cell(tmp_path)
    path = next(tmp_path.glob(f"*{suffix}"))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "other":
        path.write_bytes(b'{"rows": [{"protocol": 1}]}')
    elif damage == "list":
        path.write_bytes(b'{"rows": [1], "details": {}}')
    else:
        path.unlink()
        if suffix == ".json":
            assert store.load(facts) is None, "never finished"
            return
    with pytest.raises(CorruptError):
        store.load(facts)


def test_settings_outside_their_range() -> None:
    with pytest.raises(ConfigError, match="unknown scheme 'rot13'"):
        replace(UTILITY, schemes=("rot13",))
    with pytest.raises(ConfigError, match="seeds=0"):
        replace(UTILITY, seeds=0)
