"""Answers are judged part by part; a perfect answer, a wrong one and none."""

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from xnn.attacks.answer import Answer, KeyEstimate
from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import KnownPairs, Observation, OwnFaces
from xnn.metrics.evaluation import Measured
from xnn.metrics.reconstruction import ssim
from xnn.redteam.judge import measure
from xnn.redteam.judges import Judge
from xnn.redteam.truth import LinearKey, Truth
from xnn.types import TokenShape

SUSPECTS, SHOTS, N, D = 12, 4, 3, 5


class BrightnessJudge(Judge):
    """Recognises people by the colours of 16 blocks; has never seen an extractor."""

    name = "brightness"

    def independent_of(self, extractor: str) -> bool:
        return extractor != "brightness"

    def embed(self, crops: np.ndarray) -> np.ndarray:
        blocks = crops.reshape(len(crops), 4, 28, 4, 28, 3).mean(axis=(2, 4))
        return blocks.reshape(len(crops), -1).astype(np.float32)


def photographs(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """A plaid of its own for each person, and noise."""
    people = rng.integers(60, 200, size=(labels.max() + 1, 4, 4, 3))
    crops = np.kron(people[labels], np.ones((1, 28, 28, 1)))
    return (crops + rng.integers(-20, 20, size=crops.shape)).astype(np.uint8)


def own_faces(rng: np.random.Generator, labels: np.ndarray, crops: np.ndarray) -> OwnFaces:
    tokens = rng.normal(size=(len(labels), N, D)).astype(np.float32)
    return OwnFaces(crops=crops, tokens=tokens, embeddings=tokens[:, 0], labels=labels)


@pytest.fixture(scope="module")
def case() -> tuple[Observation, Truth]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(SUSPECTS), SHOTS)
    crops = photographs(rng, labels)
    faces = own_faces(rng, labels, crops)
    clean = np.arange(len(labels)) % SHOTS < 2  # two photographs of each in the gallery
    probes = faces.at(np.flatnonzero(~clean))
    key = LinearKey(order=rng.permutation(N), matrix=rng.normal(size=(D, D)))
    public_labels = np.arange(10)
    observation = Observation(
        scheme="paper",
        shape=TokenShape(N, D),
        knowledge=Knowledge(),
        records=(probes.tokens[:, key.order] @ key.matrix).astype(np.float32),
        labels=None,
        probes=np.arange(len(probes)),
        gallery=faces.at(np.flatnonzero(clean)),
        public=own_faces(rng, public_labels, photographs(rng, public_labels)),
    )
    truth = Truth(
        extractor="vit-s14",
        labels=probes.labels,
        tokens=probes.tokens,
        crops=probes.crops,
        key=key,
        class_suspects=np.arange(SUSPECTS)[::-1].copy(),
    )
    return observation, truth


def judged(case: tuple[Observation, Truth], answer: Answer) -> dict[str, Measured]:
    observation, truth = case
    found = measure(
        answer,
        truth,
        observation,
        judges=[BrightnessJudge()],
        generator=np.random.default_rng(0),
    )
    assert len({(one.protocol, one.metric) for one in found}) == len(found)
    return {f"{one.protocol}/{one.metric}": one for one in found}


def perfect(case: tuple[Observation, Truth]) -> Answer:
    observation, truth = case
    assert truth.key is not None
    mated = truth.labels[:, None] == observation.gallery.labels[None, :]
    return Answer(
        scores=mated.astype(np.float64),
        features=truth.tokens,
        pictures=truth.crops,
        key=KeyEstimate(place=truth.key.order, inverse=np.linalg.inv(truth.key.matrix)),
        classes=np.eye(SUSPECTS)[::-1].copy(),
    )


def test_a_perfect_answer_gets_everything(case: tuple[Observation, Truth]) -> None:
    found = judged(case, perfect(case))
    values = {name: one.bootstrap.value for name, one in found.items()}
    for name in (
        "linkage/rank_1",
        "linkage/rank_10",
        "instance/rank_1",
        "features/centred_cosine",
        "features/r2",
        "key/order_accuracy",
        "rebuilt-brightness/rank_1",
        "original-brightness/rank_1",
        "picture/ssim",
        "classes/accuracy",
    ):
        assert values[name] == pytest.approx(1.0), name
    for name in ("linkage/eer", "key/matrix_error", "key/data_error"):
        assert values[name] == pytest.approx(0.0, abs=1e-6), name
    assert values["picture/psnr"] > 80


def test_people_of_no_known_pair_are_judged_apart(case: tuple[Observation, Truth]) -> None:
    observation, truth = case
    first = observation.gallery.at(np.flatnonzero(observation.gallery.labels < 4))
    pairs = KnownPairs(faces=first, records=observation.records[: len(first)])
    knowing = replace(observation, pairs=pairs)
    known = truth.labels < 4
    wrong = (truth.labels + 1) % SUSPECTS
    said = np.where(known, truth.labels, wrong)  # right on the known, wrong on all others
    scores = (said[:, None] == observation.gallery.labels[None, :]).astype(np.float64)
    found = judged((knowing, truth), Answer(scores=scores))
    assert found["linkage/rank_1"].bootstrap.value == pytest.approx(4 / 12)
    others = found["linkage-others/rank_1"]
    assert others.bootstrap.value == 0
    assert (others.subjects, others.probes) == (SUSPECTS, int(np.sum(~known)))
    assert others.chance == found["linkage/rank_1"].chance, "against the whole gallery"
    assert "linkage-others/rank_1" not in judged(case, Answer(scores=scores))
    nobody_else = KnownPairs(faces=observation.gallery, records=observation.records)
    all_known = replace(observation, pairs=nobody_else)
    assert "linkage-others/rank_1" not in judged((all_known, truth), Answer(scores=scores))


def test_every_rate_says_what_guessing_scores_and_on_how_many(
    case: tuple[Observation, Truth],
) -> None:
    observation, truth = case
    found = judged(case, perfect(case))
    probes = SUSPECTS * 2
    assert found["linkage/rank_1"].chance == 1 / SUSPECTS, "not by the photographs of the gallery"
    assert found["linkage/rank_10"].chance == 10 / SUSPECTS
    assert found["instance/rank_1"].chance == 1 / probes
    assert found["key/order_accuracy"].chance == 1 / N
    assert found["key/data_error"].chance == 1.0
    assert found["classes/accuracy"].chance == 1 / SUSPECTS
    mean = observation.public.crops.mean(axis=0).round().astype(np.uint8)
    floor = np.mean([ssim(mean[None], crop[None])[0] for crop in truth.crops])
    assert found["picture/ssim"].chance == pytest.approx(floor)
    for name, one in found.items():
        assert one.subjects == SUSPECTS, name
        assert np.isfinite(one.bootstrap.replicates).all(), name
    assert found["instance/rank_1"].probes == found["picture/psnr"].probes == probes


def test_an_empty_guess_gets_chance(case: tuple[Observation, Truth]) -> None:
    observation, truth = case
    rng = np.random.default_rng(1)
    found = judged(
        case,
        Answer(
            scores=rng.normal(size=(len(truth.labels), len(observation.gallery))),
            features=rng.normal(size=truth.tokens.shape).astype(np.float32),
            pictures=np.full_like(truth.crops, 127),
            key=KeyEstimate(place=np.roll(truth.key.order, 1), inverse=np.zeros((D, D))),
            classes=rng.normal(size=(SUSPECTS, SUSPECTS)),
        ),
    )
    assert found["linkage/rank_1"].bootstrap.value < 0.3
    assert abs(found["features/centred_cosine"].bootstrap.value) < 0.2
    assert found["features/r2"].bootstrap.value < 0
    assert found["key/order_accuracy"].bootstrap.value == 0
    assert found["key/matrix_error"].bootstrap.value == 1.0
    assert found["rebuilt-brightness/rank_1"].bootstrap.value <= 1 / SUSPECTS
    assert found["original-brightness/rank_1"].bootstrap.value == 1.0


def test_the_best_photograph_of_a_suspect_counts(case: tuple[Observation, Truth]) -> None:
    observation, truth = case
    mated = truth.labels[:, None] == observation.gallery.labels[None, :]
    first = np.arange(len(observation.gallery)) % 2 == 0
    scores = np.where(mated & first, 1.0, np.where(mated, -5.0, 0.0))
    assert judged(case, Answer(scores=scores))["linkage/rank_1"].bootstrap.value == 1.0


def test_only_what_was_answered_is_judged(case: tuple[Observation, Truth]) -> None:
    assert judged(case, Answer()) == {}
    answer = perfect(case)
    protocols = {name.partition("/")[0] for name in judged(case, replace(answer, pictures=None))}
    assert protocols == {"linkage", "instance", "features", "key", "classes"}


def test_a_judge_that_depends_on_the_extractor_is_not_asked(
    case: tuple[Observation, Truth],
) -> None:
    observation, truth = case
    found = judged((observation, replace(truth, extractor="brightness")), perfect(case))
    assert not [name for name in found if "brightness" in name]
    assert "picture/ssim" in found


def test_a_key_of_another_kind_is_not_judged(case: tuple[Observation, Truth]) -> None:
    observation, truth = case
    found = judged((observation, replace(truth, key=None)), perfect(case))
    assert not [name for name in found if name.startswith("key/")]


def test_an_answer_for_other_probes_is_refused(case: tuple[Observation, Truth]) -> None:
    _, truth = case
    with pytest.raises((TypeCheckError, ValueError)):
        judged(case, Answer(features=truth.tokens[:5]))


def test_the_same_generator_gives_the_same_resamples(case: tuple[Observation, Truth]) -> None:
    first, second = (judged(case, perfect(case)) for _ in range(2))
    assert np.array_equal(
        first["linkage/eer"].bootstrap.replicates, second["linkage/eer"].bootstrap.replicates
    )


def two_uploads(case: tuple[Observation, Truth]) -> tuple[Observation, Truth]:
    """The same photographs again in another order, and candidates of whom half were used."""
    observation, truth = case
    rng = np.random.default_rng(2)
    rows = rng.permutation(len(truth.labels))
    known = replace(
        truth,
        upload_labels=truth.labels[rows],
        upload_rows=np.argsort(rows),
        members=np.arange(240) % 2 == 0,
        candidate_labels=np.arange(240) // 4,
    )
    return observation, known


def test_links_between_uploads_of_the_same_photographs(case: tuple[Observation, Truth]) -> None:
    observation, truth = two_uploads(case)
    assert truth.upload_rows is not None
    assert truth.upload_labels is not None
    q = len(truth.labels)
    scores = np.random.default_rng(3).normal(size=(q, q))
    chance = judged((observation, truth), Answer(upload_scores=scores))
    scores[np.arange(q), truth.upload_rows] += 100
    photographs = judged((observation, truth), Answer(upload_scores=scores))
    assert photographs["unlinkability/rank_1"].bootstrap.value == 1.0
    assert photographs["unlinkability/d_sys"].bootstrap.value == pytest.approx(1.0)
    # Only the photograph is linked: its person's other photographs look like anybody's.
    assert photographs["unlinkability-subject/rank_1"].bootstrap.value < 0.4
    assert photographs["unlinkability/rank_1"].chance == pytest.approx(1 / (1 + q - 2))
    scores += 1000 * (truth.labels[:, None] == truth.upload_labels[None, :])
    people = judged((observation, truth), Answer(upload_scores=scores))
    assert people["unlinkability-subject/rank_1"].bootstrap.value == 1.0
    assert chance["unlinkability/rank_1"].bootstrap.value < 0.4
    found = chance["unlinkability/d_sys"]
    assert found.bootstrap.value < found.chance + 0.3


def test_links_between_people_where_no_photograph_is_in_both(
    case: tuple[Observation, Truth],
) -> None:
    observation, truth = two_uploads(case)
    assert truth.upload_labels is not None
    mated = (truth.labels[:, None] == truth.upload_labels[None, :]).astype(np.float64)
    found = judged((observation, replace(truth, upload_rows=None)), Answer(upload_scores=mated))
    assert set(found) == {"unlinkability/d_sys", "unlinkability/rank_1"}
    assert found["unlinkability/rank_1"].bootstrap.value == 1.0
    tied = judged((observation, truth), Answer(upload_scores=np.zeros_like(mated)))
    assert tied["unlinkability/rank_1"].bootstrap.value == 0.0


def test_membership_is_judged_over_the_people_on_the_candidates(
    case: tuple[Observation, Truth],
) -> None:
    observation, truth = two_uploads(case)
    assert truth.members is not None
    right = judged((observation, truth), Answer(membership=truth.members.astype(np.float64)))
    assert right["membership/auc"].bootstrap.value == 1.0
    assert right["membership/tpr_at_fpr_0.01"].bootstrap.value == 1.0
    assert right["membership/tpr_at_fpr_0.01"].chance == 0.01
    assert right["membership/auc"].subjects == 60
    assert "membership/tpr_at_fpr_0.001" not in right, "120 others do not resolve it"
    noise = np.random.default_rng(0).normal(size=240)
    guessed = judged((observation, truth), Answer(membership=noise))
    assert guessed["membership/auc"].bootstrap.value == pytest.approx(0.5, abs=0.1)
    assert judged(case, Answer(membership=noise)) == {}, "the truth is not known"
