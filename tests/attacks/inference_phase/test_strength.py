"""What noise leaves to each attacker, and what more queries bring."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xnn.attacks.inference_phase.attribute_heads import AttributeHeads, AttributeSettings, area
from xnn.attacks.inference_phase.distilled_linkage import DistilledLinkage, LinkageSettings
from xnn.attacks.inference_phase.noise_filter import NoiseFilter
from xnn.attacks.inference_phase.noisy_gallery import NoisyGallery, NoisyGallerySettings
from xnn.attacks.inference_phase.query_averaging import AveragingSettings, QueryAveraging
from xnn.attacks.inference_phase.ridge_denoiser import DenoiserSettings, RidgeDenoiser
from xnn.attacks.inference_phase.tail_training import train_tail
from xnn.attacks.inference_phase.white_box_student import WhiteBoxStudent
from xnn.attacks.inference_phase.z_inversion import InversionSettings, ZInversion
from xnn.attacks.linker import Linker
from xnn.attacks.statistics.embedding_reader import ReaderSettings
from xnn.errors import ConfigError, InsufficientDataError
from xnn.models.tail import Tail
from xnn.training.presets import adamw_tail, tiny

Play = Callable[..., Any]
CHANCE = 1 / 20
RIDGE = ReaderSettings(network_epochs=0)


def test_a_few_queries_take_deterministic_noise_back(play: Play, tmp_path: Path) -> None:
    rates, left = {}, {}
    for queries in (10, 150):
        scene = play("perceptron", power=3)
        attack = RidgeDenoiser(DenoiserSettings(queries=queries))
        answer = attack.run(scene.observation, seed=0, work_dir=tmp_path)
        rates[queries] = scene.rank_1(answer.scores)
        left[queries] = scene.unexplained(answer.features)
        assert sum(scene.asked) == queries
        noise = scene.unexplained(scene.observation.probe_records)
        assert left[queries] < noise / 3
    assert left[150] < left[10]
    assert rates[150] > 5 * CHANCE


def test_linkage_needs_no_photograph_of_a_suspect_through_the_front_end(
    play: Play, tmp_path: Path
) -> None:
    scene = play("perceptron", power=3)
    attack = DistilledLinkage(LinkageSettings(reader=RIDGE, queries=200))
    answer = attack.run(scene.observation, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) > 0.5
    assert sum(scene.asked) == 200


def test_averaging_helps_where_noise_is_drawn_anew(play: Play, tmp_path: Path) -> None:
    rates: dict[int, list[float]] = {1: [], 8: []}
    for repeats, found in rates.items():
        for seed in range(3):
            scene = play("gaussian", power=4, seed=seed, queries=5000)
            attack = NoisyGallery(NoisyGallerySettings(repeats=repeats))
            answer = attack.run(scene.observation, seed=0, work_dir=tmp_path)
            found.append(scene.rank_1(answer.scores))
            assert sum(scene.asked) == 20 * repeats
    assert np.mean(rates[8]) > np.mean(rates[1]) + 0.05


def test_a_filter_takes_fresh_noise_off_and_tells_how_much_there_was(
    play: Play, tmp_path: Path
) -> None:
    found, seen = [], []
    for seed in range(3):
        scene = play("gaussian", power=2, seed=seed, queries=0)
        observation = scene.observation
        answer = NoiseFilter().run(observation, seed=0, work_dir=tmp_path)
        found.append(scene.rank_1(answer.scores))
        linker = Linker.fit(observation.public, seed=0)
        seen.append(scene.rank_1(linker.scores(observation.probe_records, observation.gallery)))
        assert answer.details["noise_variance"] == pytest.approx(1.0, rel=0.1)
        left = scene.unexplained(answer.features)
        assert left < scene.unexplained(observation.probe_records) / 3
    assert np.mean(found) > np.mean(seen) + 0.05
    assert np.mean(found) > 3 * CHANCE


def test_it_notices_whether_the_front_end_is_random(play: Play, tmp_path: Path) -> None:
    attack = QueryAveraging(AveragingSettings(repeats=3, queries=100, reader=RIDGE))
    asked = {}
    for kind in ("gaussian", "perceptron"):
        scene = play(kind)
        details = attack.run(scene.observation, seed=0, work_dir=tmp_path).details
        assert details["random"] == (kind == "gaussian")
        asked[kind] = sum(scene.asked)
        assert asked[kind] == details["queries"]
    assert asked == {"gaussian": 2 + 3 * 100, "perceptron": 2 + 100}


def test_decoded_pictures_are_nearer_to_the_truth_than_the_mean_face(
    play: Play, tmp_path: Path
) -> None:
    errors = {}
    for kind in ("clean", "perceptron", "iid"):
        scene = play(kind, power=1)
        answer = ZInversion().run(scene.observation, seed=0, work_dir=tmp_path)
        truth = scene.probes.crops.astype(float)
        mean = scene.observation.public.crops.mean(axis=0)
        errors[kind] = float(
            np.square(answer.pictures - truth).mean() / np.square(mean - truth).mean()
        )
    assert errors["clean"] < 0.4
    assert errors["perceptron"] < 0.6
    assert 0.9 < errors["iid"] < 1.1  # it says the mean face
    assert scene.unexplained(answer.features) > 0.9


def test_decoding_may_leave_the_features_out(play: Play, tmp_path: Path) -> None:
    scene = play("clean", queries=40)
    attack = ZInversion(InversionSettings(features=False, components=20))
    answer = attack.run(scene.observation, seed=0, work_dir=tmp_path)
    assert answer.features is None
    assert answer.pictures.shape == scene.probes.crops.shape


def test_attributes_are_read_from_clean_features_and_not_from_noise(
    play: Play, tmp_path: Path
) -> None:
    areas = {}
    for kind in ("clean", "iid"):
        found = AttributeHeads().run(play(kind).observation, seed=0, work_dir=tmp_path).details
        areas[kind] = [value for name, value in found.items() if name.startswith("auc_")]
    assert np.mean(areas["clean"]) > 0.85
    assert abs(np.mean(areas["iid"]) - 0.5) < 0.1


def test_heads_take_labels_of_the_attackers_own(play: Play, tmp_path: Path) -> None:
    def bright_corner(faces: Any) -> dict[str, np.ndarray]:
        corner = faces.crops[:, :16, :16].mean(axis=(1, 2, 3))
        return {"bright_corner": corner > np.median(corner)}

    attack = AttributeHeads(AttributeSettings(attributes=bright_corner, looks=3))
    details = attack.run(play("clean").observation, seed=0, work_dir=tmp_path).details
    assert details["auc_bright_corner"] > 0.75
    assert "auc_brightness" not in details


def test_area_equals_a_slow_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        foreseen, sides = rng.integers(0, 5, 30).astype(float), np.sign(rng.normal(size=30))
        pairs = [(a > b) + 0.5 * (a == b) for a in foreseen[sides > 0] for b in foreseen[sides < 0]]
        assert area(foreseen, sides) == pytest.approx(np.mean(pairs))


@pytest.fixture
def student(play: Play, tmp_path: Path) -> Tail:
    """A server's tail, trained on clean features: no gallery and no probe among them."""
    faces = play("clean").observation.public
    tail = adamw_tail(6, 24, token_dropout=0.2)
    recipe = tiny(epochs=2, batch_size=32, accelerator="cpu")
    return train_tail(faces, recipe, tail, tmp_path / "student", held_out=0.0).tail


def test_whoever_holds_the_student_recognises(play: Play, tmp_path: Path, student: Tail) -> None:
    scene = play("gaussian", power=0.5)
    without = scene.observation
    assert WhiteBoxStudent().refusal(None, without) == "needs the server's student"
    with pytest.raises(InsufficientDataError, match="student"):
        WhiteBoxStudent().run(without, seed=0, work_dir=tmp_path)
    held = replace(without, tail=student)
    answer = WhiteBoxStudent().run(held, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) > 0.6
    assert sum(scene.asked) == answer.details["queries"] == 20


def test_a_student_that_reads_clean_features_needs_no_front_end(
    play: Play, tmp_path: Path, student: Tail
) -> None:
    scene = play("gaussian", power=0.25, queries=0)
    held = replace(scene.observation, tail=student)
    answer = WhiteBoxStudent().run(held, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) > 0.6
    blind = scene.observation.records[:, :1]  # of another shape: nothing to compare with
    other = replace(held, records=blind)
    assert WhiteBoxStudent().refusal(None, other) == "cannot enrol the gallery"


def test_the_student_gets_chance_from_noise(play: Play, tmp_path: Path, student: Tail) -> None:
    rates = []
    for seed in range(3):
        scene = play("iid", seed=seed)
        held = replace(scene.observation, tail=student)
        answer = WhiteBoxStudent().run(held, seed=0, work_dir=tmp_path)
        rates.append(scene.rank_1(answer.scores))
    assert np.mean(rates) < CHANCE + 0.06


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: DenoiserSettings(queries=3),
        lambda: NoisyGallerySettings(repeats=0),
        lambda: AveragingSettings(repeats=0),
        lambda: InversionSettings(components=0),
        lambda: AttributeSettings(looks=0),
        lambda: ReaderSettings(strengths=()),
        lambda: ReaderSettings(held_out=1.0),
    ],
)
def test_settings_out_of_range_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        wrong()
