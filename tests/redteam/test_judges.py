"""Judges know faces; their metric is learned from people who are not asked about."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xnn.attacks.observation import OwnFaces
from xnn.errors import InsufficientDataError, MissingExtraError
from xnn.metrics.identification import euclidean_scores, rank_k
from xnn.redteam import judges
from xnn.redteam.judges import (
    Bystanders,
    DlibJudge,
    Judge,
    PixelJudge,
    ViTJudge,
    family,
    judges_for,
)
from xnn.redteam.metric_head import MetricHead


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def orl(root: Path, subjects: range, shots: tuple[int, ...]) -> OwnFaces:
    """ORL faces, merely resized."""
    crops, labels = [], []
    for subject in subjects:
        for shot in shots:
            with Image.open(root / f"s{subject}" / f"{shot}.pgm") as photo:
                crops.append(np.asarray(photo.convert("RGB").resize((112, 112))))
            labels.append(subject)
    n = len(crops)
    return OwnFaces(
        crops=np.array(crops),
        tokens=np.zeros((n, 1, 1), dtype=np.float32),
        embeddings=np.zeros((n, 1), dtype=np.float32),
        labels=np.array(labels),
    )


def bystanders_of(faces: OwnFaces) -> Bystanders:
    return Bystanders(crops=faces.crops, labels=faces.labels)


def rank_1(judge: Judge, faces: OwnFaces, shots: int) -> float:
    """First photograph of each in the gallery, the rest searched for."""
    clean = np.arange(len(faces)) % shots == 0
    scores = euclidean_scores(judge.embed(faces.crops[~clean]), judge.embed(faces.crops[clean]))
    return rank_k(scores, faces.labels[~clean], faces.labels[clean])


def test_dlib_knows_faces(orl_photos: Path) -> None:
    faces = orl(orl_photos, range(21, 31), (1, 2, 3))
    assert rank_1(DlibJudge(), faces, 3) > 0.9  # chance 0.1


def test_pixels_know_faces_a_little_once_taught(orl_photos: Path) -> None:
    suspects = orl(orl_photos, range(21, 41), (1, 3, 5, 7))
    judge = PixelJudge(bystanders_of(orl(orl_photos, range(1, 21), tuple(range(1, 11)))))
    assert rank_1(judge, suspects, 4) > 0.5  # chance 0.05
    blurred = np.stack([suspects.crops[:, i : 105 + i] for i in range(8)]).mean(axis=0)
    blurred = np.pad(blurred, ((0, 0), (4, 3), (0, 0), (0, 0)), mode="edge").astype(np.uint8)
    assert rank_1(judge, replace(suspects, crops=blurred), 4) > 0.4, "blur costs it little"
    embedded = judge.embed(suspects.crops)
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1.0, atol=1e-5)


def test_a_judge_is_asked_only_where_it_shares_nothing(
    orl_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fetched(Judge):
        name = "vit-s14"
        independent_of = ViTJudge.independent_of

        def __init__(self, bystanders: Bystanders) -> None:
            self.learns_from = bystanders

        def embed(self, crops: np.ndarray) -> np.ndarray:
            return np.zeros((len(crops), 1), dtype=np.float32)

    monkeypatch.setattr(judges, "ViTJudge", Fetched)
    bystanders = bystanders_of(orl(orl_photos, range(1, 31), (1, 2)))

    def names(extractor: str, faces: Bystanders | None = bystanders) -> list[str]:
        return [judge.name for judge in judges_for(extractor, faces)]

    assert names("dlib") == ["fisherfaces", "vit-s14"]
    assert names("vit-s14@196") == names("vit-s14") == ["dlib", "fisherfaces"]
    assert names("vit-b16") == ["dlib", "fisherfaces", "vit-s14"]
    few = bystanders_of(orl(orl_photos, range(1, 11), (1, 2)))
    assert names("vit-b16", None) == names("vit-b16", few) == ["dlib"]
    assert names("dlib", None) == []
    assert family("vit-s14@196") == "vit-s14"


def test_a_judge_whose_weights_are_missing_is_left_out(
    orl_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfetched(**options: object) -> None:
        raise MissingExtraError("not here")

    monkeypatch.setattr(judges, "vit_s14", unfetched)
    bystanders = bystanders_of(orl(orl_photos, range(1, 31), (1, 2)))
    assert [judge.name for judge in judges_for("dlib", bystanders)] == ["fisherfaces"]


def test_the_whole_network_is_read_in_parts(
    orl_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the ViT: tokens that say where they are."""

    class Places:
        def tokens(self, crops: torch.Tensor) -> torch.Tensor:
            cells = (
                torch.arange(17.0)[None, :, None] + 100 * torch.arange(len(crops))[:, None, None]
            )
            return cells.expand(-1, -1, 3)

    monkeypatch.setattr(judges, "vit_s14", lambda **options: Places())
    judge = ViTJudge(bystanders_of(orl(orl_photos, range(1, 5), (1, 2))))
    row = judge._features(np.zeros((1, 112, 112, 3), dtype=np.uint8))[0].reshape(6, 3)[:, 0]
    # Class token 0; patches 1..16 in rows of four; their mean; quarters.
    assert row.tolist() == [0.0, 8.5, 3.5, 5.5, 11.5, 13.5]


def test_bystanders_with_most_photographs_teach(orl_photos: Path) -> None:
    faces = orl(orl_photos, range(1, 6), (1, 2, 3))
    faces = faces.at(np.array([0, 3, 4, 6, 7, 8, 9, 12, 13, 14]))  # 1, 2, 3, 1, 3 photographs
    everyone = np.ones(len(faces), dtype=bool)
    assert sorted(set(Bystanders.among(faces, everyone).labels.tolist())) == [2, 3, 5]
    assert set(Bystanders.among(faces, everyone, most=7).labels.tolist()) == {3, 5}
    kept = Bystanders.among(faces, faces.labels != 5)
    assert kept.labels.tolist() == [2, 2, 3, 3, 3]
    assert np.array_equal(kept.crops, faces.crops[1:6])


def people(seed: int, count: int, shots: int) -> tuple[np.ndarray, np.ndarray]:
    """Identity in four weak directions of ten, whatever else in six strong ones."""
    world = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), shots)
    identity = rng.normal(size=(count, 4))[labels] + 0.1 * rng.normal(size=(len(labels), 4))
    other = 2 * rng.normal(size=(len(labels), 6))
    return np.concatenate([identity, other], axis=1) @ world, labels


def test_a_metric_finds_the_directions_of_identity() -> None:
    head = MetricHead.fit(*people(1, 200, 4))
    rows, labels = people(2, 50, 2)
    first, second = slice(0, None, 2), slice(1, None, 2)

    def found(x: np.ndarray) -> float:
        return rank_k(euclidean_scores(x[second], x[first]), labels[second], labels[first])

    assert found(head.embed(rows)) > found(rows.astype(np.float32)) + 0.3


def test_a_metric_needs_people_with_two_photographs() -> None:
    rows, labels = people(1, 5, 2)
    with pytest.raises(InsufficientDataError, match="2 of 3 people have two photographs"):
        MetricHead.fit(rows[:5], labels[:5])
