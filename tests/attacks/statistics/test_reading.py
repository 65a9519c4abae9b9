"""Dual ridge, transport, denoising and held-out ranks against slow obvious versions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.attacks.statistics.denoiser import fit_denoiser
from xnn.attacks.statistics.dual_ridge import DualRidge, Standardiser, fit_chosen
from xnn.attacks.statistics.embedding_reader import EmbeddingReader, ReaderSettings
from xnn.attacks.statistics.held_out import held_out_people, rank_1_of_the_rest
from xnn.attacks.statistics.transport import shrunk_covariance, transport, transport_map
from xnn.errors import InsufficientDataError


@given(seed=st.integers(0, 1000), rows=st.integers(3, 12), strength=st.sampled_from([0.01, 1.0]))
@settings(max_examples=20, deadline=None)
def test_dual_ridge_equals_the_primal_one(seed: int, rows: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    inputs, targets = rng.normal(size=(rows, 2, 4)), rng.normal(size=(rows, 3))
    unseen = rng.normal(size=(5, 2, 4))
    flat = inputs.reshape(rows, 8)
    x = (flat - flat.mean(axis=0)) / flat.std(axis=0) / np.sqrt(8)
    y = targets - targets.mean(axis=0)
    unit = np.sum(x * x) / rows
    matrix = np.linalg.solve(x.T @ x + strength * unit * np.eye(8), x.T @ y)
    seen = (unseen.reshape(5, 8) - flat.mean(axis=0)) / flat.std(axis=0) / np.sqrt(8)
    expected = seen @ matrix + targets.mean(axis=0)
    found = DualRidge.fit(inputs, targets, strength=strength)(unseen)
    assert np.allclose(found, expected, atol=1e-4)


def test_inputs_that_never_move_do_not_count() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(30, 6))
    inputs[:, 2] = 3.0
    rows = Standardiser.of(inputs)(inputs)
    assert np.isfinite(rows).all()
    assert np.abs(rows[:, 2]).max() < 1e-5
    assert np.mean(np.sum(rows**2, axis=1)) == pytest.approx(5 / 6, rel=0.01)


def test_the_strength_is_chosen_on_rows_held_out() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(60, 40))
    targets = inputs[:, :1] + 3.0 * rng.normal(size=(60, 1))  # mostly noise: wants much ridge
    held = np.arange(60) % 3 == 0

    def quality(foreseen: np.ndarray) -> float:
        return -float(np.square(foreseen - targets[held]).sum())

    chosen, best = fit_chosen(inputs, targets, held=held, quality=quality)
    assert chosen.strength >= 1.0
    for strength in (1e-3, 1e-2, 1e-1, 1.0, 10.0):
        one = DualRidge.fit(inputs[~held], targets[~held], strength=strength)
        assert quality(one(inputs[held])) <= best + 1e-6


@given(seed=st.integers(0, 1000), d=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_transport_is_symmetric_and_gives_the_other_covariance(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (part @ part.T + 0.1 * np.eye(d) for part in rng.normal(size=(2, d, d)))
    found = transport(a, b)
    assert np.allclose(found, found.T, atol=1e-8)
    assert np.allclose(found @ a @ found, b, atol=1e-6 * np.trace(b))
    assert np.linalg.eigvalsh(found).min() > 0


def test_transport_between_equal_clouds_moves_nothing() -> None:
    cloud = np.random.default_rng(0).normal(size=(200, 3, 5)).astype(np.float32)
    assert np.allclose(transport_map(cloud, cloud)(cloud), cloud, atol=1e-3)


def test_transport_undoes_a_stretch_without_pairs() -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(4000, 2, 4)).astype(np.float32) * [1.0, 2.0, 3.0, 4.0]
    others = rng.normal(size=(4000, 2, 4)).astype(np.float32) * [1.0, 2.0, 3.0, 4.0]
    stretched = (clean * [4.0, 3.0, 0.5, 1.0] + 7.0).astype(np.float32)
    back = transport_map(stretched, others.astype(np.float32))(stretched)
    assert np.square(back - clean).mean() < 0.02 * np.square(clean).mean()


def test_shrinkage_grows_as_samples_get_fewer() -> None:
    rng = np.random.default_rng(0)
    scales = np.linspace(0.1, 3.0, 20)
    few, many = (
        shrunk_covariance((rng.normal(size=(n, 20)) * scales).astype(np.float32), None)
        for n in (15, 20_000)
    )
    assert np.linalg.eigvalsh(few).min() > 0
    assert np.allclose(many, np.diag(scales**2), atol=0.3)
    spread = [np.ptp(np.linalg.eigvalsh(c)) / np.trace(c) for c in (few, many)]
    assert spread[0] < 2 * spread[1]
    given = shrunk_covariance(rng.normal(size=(50, 4)).astype(np.float32), 1.0)
    assert np.allclose(given, given[0, 0] * np.eye(4))


def low_rank(rng: np.random.Generator, rows: int, basis: np.ndarray) -> np.ndarray:
    return (rng.normal(size=(rows, len(basis))) @ basis).reshape(rows, 4, 6).astype(np.float32)


@pytest.mark.parametrize(
    ("noise", "form", "rank", "queries"),
    [("fresh", "wiener", 5, 40), ("matrix", "shared", 24, 12), ("scramble", "whole", 5, 40)],
)
def test_the_denoiser_takes_the_form_of_the_noise(
    noise: str, form: str, rank: int, queries: int
) -> None:
    rng = np.random.default_rng(3)
    basis = rng.normal(size=(rank, 24))
    clean, own, unseen = (low_rank(rng, rows, basis) for rows in (200, queries, 50))
    matrix, scramble = rng.normal(size=(6, 6)), rng.normal(size=(24, 24))

    def add(tokens: np.ndarray) -> np.ndarray:
        if noise == "fresh":
            return (tokens + 1.5 * rng.normal(size=tokens.shape)).astype(np.float32)
        if noise == "matrix":
            return (tokens @ matrix).astype(np.float32)
        mixed = tokens.reshape(len(tokens), 24) @ scramble
        return mixed.reshape(tokens.shape).astype(np.float32)

    denoise, found = fit_denoiser(add(own), own, clean, seed=0)
    assert found["form"] == form
    left = np.square(denoise(add(unseen)) - unseen).sum() / np.square(unseen).sum()
    assert left < (0.5 if noise == "fresh" else 0.15)
    assert abs(left - float(found["unexplained"])) < 0.2


def test_a_denoiser_reads_records_of_another_shape() -> None:
    rng = np.random.default_rng(4)
    basis = rng.normal(size=(3, 24))
    own, unseen = low_rank(rng, 40, basis), low_rank(rng, 20, basis)
    to_code = rng.normal(size=(24, 7))

    def code(tokens: np.ndarray) -> np.ndarray:
        return (tokens.reshape(len(tokens), 24) @ to_code)[:, None].astype(np.float32)

    denoise, found = fit_denoiser(code(own), own, own, seed=0)
    assert found["form"] == "whole"
    assert np.square(denoise(code(unseen)) - unseen).sum() < 0.05 * np.square(unseen).sum()
    with pytest.raises(InsufficientDataError, match="at least 4"):
        fit_denoiser(code(own)[:3], own[:3], own, seed=0)


def test_held_out_rank_1_equals_a_slow_one() -> None:
    rng = np.random.default_rng(5)
    labels = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    probes, references = rng.normal(size=(2, 8, 4))
    hits = []
    for i, person in enumerate(labels):
        if np.sum(labels == person) < 2:
            continue
        cosine = [
            -2.0 if j == i else probes[i] @ r / np.linalg.norm(probes[i]) / np.linalg.norm(r)
            for j, r in enumerate(references)
        ]
        hits.append(labels[int(np.argmax(cosine))] == person)
    assert rank_1_of_the_rest(probes, references, labels) == pytest.approx(np.mean(hits))
    assert np.isnan(rank_1_of_the_rest(probes[:3], references[:3], np.arange(3)))


def test_people_are_held_out_whole() -> None:
    labels = np.repeat(np.arange(10), 3)
    held = held_out_people(labels, share=0.3, seed=0)
    assert held.sum() == 9
    assert len(np.unique(labels[held])) == 3
    assert np.array_equal(held, held_out_people(labels, share=0.3, seed=0))
    assert not np.array_equal(held, held_out_people(labels, share=0.3, seed=1))
    assert not held_out_people(np.arange(3), share=0.5, seed=0).any()


def test_a_network_reads_what_a_line_cannot() -> None:
    """The embedding is the sign pattern's product: no linear map of the record tells it."""
    rng = np.random.default_rng(6)
    labels = np.repeat(np.arange(100), 4)
    signs = rng.choice([-1.0, 1.0], size=(100, 6))[labels]
    records = signs + 0.1 * rng.normal(size=signs.shape)
    embeddings = np.stack(
        [signs[:, i] * signs[:, j] for i in range(6) for j in range(i)], axis=1
    ).astype(np.float32)
    strong = ReaderSettings(components=6, hidden=64, drop=0.0, network_epochs=40, lr=5e-3)
    reader = EmbeddingReader.fit(records, embeddings, labels, seed=0, settings=strong)
    assert reader.way in ("network", "both")
    line = EmbeddingReader.fit(
        records, embeddings, labels, seed=0, settings=ReaderSettings(network_epochs=0)
    )
    assert line.way == "ridge"
    assert reader.held_out_rank_1 > line.held_out_rank_1 + 0.3
    with pytest.raises(InsufficientDataError, match="needs 8"):
        EmbeddingReader.fit(records[:7], embeddings[:7], labels[:7], seed=0)
