"""The parties: who is cast as what, what the attacker gets, and that it gets no truth."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.attacks.base import AttackCard, Goal
from xnn.attacks.knowledge import Knowledge
from xnn.errors import ConfigError, InsufficientDataError
from xnn.redteam.casting import Sizes, cast
from xnn.redteam.party import Party
from xnn.redteam.scenario import Scenario

N, D = 6, 12  # of the made-up parties
SIZES = Sizes(records=150, probes=40, public=200)


def card(goal: Goal = "linkage", **changes: bool) -> AttackCard:
    return AttackCard(
        name="some attack", phase="training", goal=goal, summary="", source="", **changes
    )


def scenario(victim: Party, public: Party | None) -> Scenario:
    def tokens_of(crops: np.ndarray) -> np.ndarray:
        return np.ones((len(crops), N, D), dtype=np.float32)

    def train_tail(records: np.ndarray, labels: np.ndarray) -> None:
        return None

    return Scenario(
        victim=victim, public=public, sizes=SIZES, tokens_of=tokens_of, train_tail=train_tail
    )


@given(seed=st.integers(0, 50), pairs=st.integers(0, 20), same=st.booleans())
@settings(max_examples=25, deadline=None)
def test_nobody_plays_two_parts(
    make_party: Callable[..., Party], seed: int, pairs: int, same: bool
) -> None:
    victim, public = make_party("victim", 1, 20, 12), make_party("public", 2, 30, 10)
    faces = "same_collection" if same else "other_collection"
    knowledge = Knowledge(public_faces=faces, known_pairs=pairs)
    parts = cast(victim, public, knowledge, SIZES, seed=seed)
    labels = victim.faces.labels
    suspects = labels[parts.gallery]
    assert len(set(suspects)) == len(suspects), "one clean photograph each"
    assert set(labels[parts.uploaded]) <= set(suspects)
    assert not set(parts.gallery) & set(parts.uploaded)
    assert not set(labels[parts.outsiders]) & set(suspects)
    assert len(parts.pairs) == pairs
    assert not set(parts.pairs) & set(parts.probes)
    assert set(parts.pairs) | set(parts.probes) <= set(range(len(parts.uploaded)))
    if same:
        own = set(labels[parts.public])
        assert not own & (set(suspects) | set(labels[parts.outsiders]))


def test_the_observation_and_its_truth_fit_together(victim: Party, public: Party) -> None:
    seen, truth = scenario(victim, public).play("plain", card(), Knowledge(), seed=3)
    assert seen.records.shape == (150, N, D)
    tokens = truth.tokens.astype(np.float16).astype(np.float32)
    assert np.array_equal(seen.probe_records, tokens), "plain records are the features, stored"
    clean = {tuple(t) for t in seen.gallery.tokens.reshape(-1, D)}
    assert not clean & {tuple(t) for t in seen.records.reshape(-1, D)}
    assert seen.labels is not None
    assert truth.class_suspects is not None
    numbers = np.unique(seen.labels)
    named = truth.class_suspects[np.searchsorted(numbers, seen.labels[seen.probes])]
    assert np.array_equal(named, truth.labels), "class numbers lead to the suspects"
    assert not np.array_equal(seen.labels[seen.probes], truth.labels), "and hide their order"
    for name in ("pairs", "oracle", "key", "other_upload", "candidates", "tail"):
        assert getattr(seen, name) is None, name


def test_a_scheme_that_bounds_its_classes(victim: Party, public: Party) -> None:
    scheme = "pooled-noise-4-by-2"
    seen, truth = scenario(victim, public).play(scheme, card(), Knowledge(), seed=3)
    assert seen.labels is not None
    numbers, sizes = np.unique(seen.labels, return_counts=True)
    assert sizes.max() == 2
    assert list(numbers) == list(range(len(numbers)))
    assert truth.class_suspects is not None
    assert len(truth.class_suspects) == len(numbers) > len(seen.gallery)
    assert np.array_equal(truth.class_suspects[seen.labels[seen.probes]], truth.labels)


def test_the_attacker_holds_no_clean_record(victim: Party, public: Party) -> None:
    seen, truth = scenario(victim, public).play("paper", card(), Knowledge(), seed=0)
    assert truth.key is not None
    again = truth.tokens[:, truth.key.order] @ truth.key.matrix
    assert np.allclose(again, seen.probe_records, atol=0.02, rtol=0.01)
    held = seen.records.reshape(-1, D)
    true = truth.tokens.reshape(-1, D)
    nearest = np.abs(held[:300, None] - true[None]).max(axis=2).min()
    assert nearest > 1e-3


def test_what_is_granted_is_there(victim: Party, public: Party) -> None:
    play = scenario(victim, public).play
    knowledge = Knowledge(known_pairs=7, chosen_inputs=5, labels=False)
    seen, _ = play("paper", card(), knowledge, seed=0)
    assert seen.pairs is not None
    assert len(seen.pairs) == 7
    assert seen.labels is None
    assert seen.oracle is not None
    crops = np.zeros((4, 112, 112, 3), dtype=np.uint8)
    assert seen.oracle(crops).shape == (4, N, D)
    with pytest.raises(InsufficientDataError, match="4 queries asked, 1 of 5 are left"):
        seen.oracle(crops)
    ceiling, _ = play("paper", card(), Knowledge(key=True), seed=0)
    assert ceiling.key is not None


def test_a_second_upload_shows_the_same_photographs(victim: Party, public: Party) -> None:
    seen, truth = scenario(victim, public).play("plain", card("unlinkability"), Knowledge(), seed=0)
    assert seen.other_upload is not None
    assert truth.upload_rows is not None
    assert truth.upload_labels is not None
    there = truth.upload_rows >= 0
    assert there.any()
    rows = truth.upload_rows[there]
    assert np.array_equal(seen.other_upload[rows], seen.probe_records[there])
    assert np.array_equal(truth.upload_labels[rows], truth.labels[there])


def test_candidates_are_half_members(victim: Party, public: Party) -> None:
    seen, truth = scenario(victim, public).play("plain", card("membership"), Knowledge(), seed=0)
    assert seen.candidates is not None
    assert truth.members is not None
    assert truth.members.mean() == 0.5
    held = {t.tobytes() for t in seen.records.astype(np.float16)}
    found = [t.tobytes() in held for t in seen.candidates.tokens.astype(np.float16)]
    assert np.array_equal(found, truth.members)
    assert not seen.candidates.labels.any(), "nobody is named"


def test_keys_differ_from_one_play_to_the_next(victim: Party, public: Party) -> None:
    first, second = (
        scenario(victim, public).play("paper", card(), Knowledge(), seed=0)[0] for _ in range(2)
    )
    assert np.array_equal(first.gallery.tokens, second.gallery.tokens)
    assert not np.allclose(first.records, second.records)


def test_too_little_is_refused(victim: Party, make_party: Callable[..., Party]) -> None:
    with pytest.raises(InsufficientDataError, match="leave 1 to ask about"):
        cast(victim, victim, Knowledge(known_pairs=149), SIZES, seed=0)
    few = make_party("few", 1, 3, 2)
    with pytest.raises(InsufficientDataError, match="suspects"):
        cast(few, None, Knowledge(public_faces="same_collection"), SIZES, seed=0)
    with pytest.raises(ConfigError, match="needs a public set"):
        cast(victim, None, Knowledge(), SIZES, seed=0)
    with pytest.raises(ConfigError, match="records=1"):
        replace(SIZES, records=1)


def test_the_level_follows_from_the_values() -> None:
    level = [
        Knowledge(public_faces="none").level,
        Knowledge(public_faces="no_faces").level,
        Knowledge().level,
        Knowledge(public_faces="same_collection").level,
        Knowledge(known_pairs=1).level,
        Knowledge(chosen_inputs=1).level,
        Knowledge(key=True).level,
    ]
    assert level == ["K0", "K1", "K2", "K3", "K4", "K5", "K6"]
    assert Knowledge(known_pairs=16).describe().startswith("K4: faces of another collection")
    with pytest.raises(ConfigError, match="known_pairs=-1"):
        Knowledge(known_pairs=-1)


def test_rough_counts_are_granted_and_rough(victim: Party, public: Party) -> None:
    play = scenario(victim, public).play
    exact, _ = play("plain", card(), Knowledge(suspect_counts_error=0.0), seed=0)
    rough, _ = play("plain", card(), Knowledge(suspect_counts_error=0.2), seed=0)
    assert exact.suspect_counts is not None
    assert rough.suspect_counts is not None
    assert exact.suspect_counts.sum() == len(exact.records)
    ratio = np.log(rough.suspect_counts / exact.suspect_counts)
    assert 0.05 < ratio.std() < 0.5


@pytest.mark.parametrize("same", [False, True])
def test_bystanders_are_nobody_who_plays_a_part(victim: Party, public: Party, same: bool) -> None:
    knowledge = Knowledge(public_faces="same_collection" if same else "other_collection")
    played = scenario(victim, public)
    found = played.bystanders(knowledge, seed=3)
    parts = cast(victim, public, knowledge, SIZES, seed=3)
    taken = set() if same else set(public.faces.labels[parts.public])
    assert set(found.labels) == set(public.faces.labels) - taken
    assert len(found.crops) == len(found.labels)
    assert set(found.labels), "some are left"
    alone = scenario(victim, None).bystanders(Knowledge(public_faces="same_collection"), seed=3)
    own = cast(victim, None, Knowledge(public_faces="same_collection"), SIZES, seed=3)
    assert set(alone.labels) == set(victim.faces.labels[own.outsiders])


def test_pairs_drawn_by_person_leave_people_of_whom_none_is_known(
    victim: Party, make_party: Callable[..., Party]
) -> None:
    public, knowledge = make_party("public", 2, 30, 10), Knowledge(known_pairs=60)
    labels, sizes = victim.faces.labels, replace(SIZES, probes=90)
    alike = cast(victim, public, knowledge, sizes, seed=3)
    parts = cast(victim, public, knowledge, sizes, seed=3, pairs_by_person=True)
    assert np.array_equal(alike.uploaded, parts.uploaded)
    people = labels[parts.uploaded]
    known, _, counts = np.unique(people[parts.pairs], return_inverse=True, return_counts=True)
    whole = [int((people == person).sum()) for person in known]
    assert sum(a != b for a, b in zip(counts, whole, strict=True)) <= 1, "one person in part"
    assert len(np.unique(people[alike.pairs])) > 2 * len(known)
    assert not set(parts.pairs) & set(parts.probes)
    assert set(people[parts.probes]) - set(known)
