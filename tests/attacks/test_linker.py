"""Linking features to photographs: learned on the attacker's faces, chosen on people held out."""

import numpy as np
import pytest

from xnn.attacks.linker import Linker
from xnn.attacks.observation import OwnFaces
from xnn.errors import InsufficientDataError

N, D, E = 4, 10, 6


def faces(seed: int, subjects: int, shots: int) -> OwnFaces:
    """Features are a linear map of what the recogniser sees, and of what it does not."""
    world = np.random.default_rng(7)
    seen, unseen = world.normal(size=(E, N * D)), world.normal(size=(8, N * D))
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(subjects), shots)
    inner = rng.normal(size=(subjects, E))[labels] + 0.2 * rng.normal(size=(len(labels), E))
    other = 3 * rng.normal(size=(len(labels), 8))
    tokens = (5 + inner @ seen + other @ unseen).reshape(-1, N, D)
    return OwnFaces(
        crops=np.zeros((len(labels), 112, 112, 3), dtype=np.uint8),
        tokens=tokens.astype(np.float32),
        embeddings=inner.astype(np.float32),
        labels=labels,
    )


def rank_1(scores: np.ndarray, probes: OwnFaces, gallery: OwnFaces) -> float:
    return float(np.mean(gallery.labels[scores.argmax(axis=1)] == probes.labels))


def split() -> tuple[OwnFaces, OwnFaces]:
    people = faces(2, 20, 5)
    first = np.arange(len(people)) % 5 == 0
    return people.at(np.flatnonzero(first)), people.at(np.flatnonzero(~first))


def test_it_links_people_it_never_saw() -> None:
    gallery, probes = split()
    linker = Linker.fit(faces(1, 40, 6), seed=0)
    assert not linker.by_tokens, "most of the tokens is not about the person"
    assert rank_1(linker.scores(probes.tokens, gallery), probes, gallery) > 0.9
    assert linker.held_out_rank_1 > 0.8


def test_noise_links_nobody() -> None:
    gallery, probes = split()
    noise = np.random.default_rng(0).normal(size=probes.tokens.shape).astype(np.float32)
    scores = Linker.fit(faces(1, 40, 6), seed=0).scores(noise, gallery)
    assert rank_1(scores, probes, gallery) < 0.2, "chance is 0.05"


def test_the_dual_form_is_the_ridge() -> None:
    public = faces(1, 40, 6)
    linker = Linker.fit(public, seed=0)
    flat = (public.tokens - linker.mean) / linker.deviation
    design = flat.reshape(len(public), -1).astype(np.float64) / np.sqrt(N * D)
    targets = public.embeddings - public.embeddings.mean(axis=0)
    targets = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    rows = np.sort(np.random.default_rng(0).permutation(len(public)))
    assert np.array_equal(rows, np.arange(len(public)))
    errors = []
    for strength in (1e-3, 1e-2, 1e-1, 1.0):
        ridge = strength * np.trace(design @ design.T) / len(design)
        slow = np.linalg.solve(design.T @ design + ridge * np.eye(N * D), design.T @ targets)
        errors.append(np.abs(design @ slow - linker.embed(public.tokens)).max())
    assert min(errors) < 1e-3, "the Gram matrix is float32"


def test_the_same_faces_give_the_same_linker() -> None:
    first, second = (Linker.fit(faces(1, 10, 3), seed=0) for _ in range(2))
    assert first is second
    assert Linker.fit(faces(1, 10, 3), seed=1) is not first
    for seed in range(2, 8):
        Linker.fit(faces(1, 10, 3), seed=seed)
    again = Linker.fit(faces(1, 10, 3), seed=0)
    assert again is not first, "only a few are kept"
    assert np.array_equal(again.weights, first.weights)


def test_people_with_one_photograph_each_still_teach() -> None:
    linker = Linker.fit(faces(1, 30, 1), seed=0)
    gallery, probes = split()
    assert np.isnan(linker.held_out_rank_1)
    assert rank_1(linker.scores(probes.tokens, gallery), probes, gallery) > 0.5


def test_too_few_photographs() -> None:
    with pytest.raises(InsufficientDataError, match="has 6 photographs, linking needs at least 8"):
        Linker.fit(faces(1, 3, 2), seed=0)
