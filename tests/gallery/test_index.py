"""Search in memory against a slow literal version, and the graph's recall."""

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.errors import ConfigError
from xnn.gallery.approximate import ApproximateIndex, GraphSettings
from xnn.gallery.exact import ExactIndex
from xnn.gallery.turns import Turns

WIDTH = 6


def unit(rng: np.random.Generator, count: int, width: int = WIDTH) -> np.ndarray:
    vectors = rng.normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def name_of(number: int) -> str:
    return f"{number:032x}"


def slow_search(rows, probe, top_k, threshold):
    """Every product in float64, best of each subject, sorted by (-score, name)."""
    best = {}
    for template_id, subject, vector in rows:
        score = float(np.float32(np.clip(np.dot(np.float64(vector), np.float64(probe)), -1, 1)))
        if subject not in best or (-score, template_id) < (-best[subject][0], best[subject][1]):
            best[subject] = (score, template_id)
    found = [(s, n, t) for n, (s, t) in best.items() if s >= threshold]
    return sorted(found, key=lambda f: (-f[0], f[1]))[:top_k]


def agree(found, expected) -> None:
    """Equal up to rounding: where scores differ by more than that, so must the order."""
    assert len(found) == len(expected)
    np.testing.assert_allclose(
        [c.score for c in found], [score for score, _, _ in expected], atol=2e-7
    )
    names, wanted = [c.subject_id for c in found], [name for _, name, _ in expected]
    for place in range(len(names)):
        if names[place] != wanted[place]:
            assert abs(found[place].score - expected[place][0]) < 2e-7


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    subjects=st.integers(1, 30),
    templates=st.integers(1, 150),
    top_k=st.integers(1, 12),
    threshold=st.sampled_from([-1.0, 0.0, 0.5, 0.9]),
    copies=st.booleans(),
    erase=st.floats(0, 0.9),
)
def test_exact_search_is_the_slow_one(
    seed, subjects, templates, top_k, threshold, copies, erase
) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng, templates)
    if copies:  # many exact ties
        vectors = vectors[rng.integers(0, max(1, templates // 8), templates)]
    owners = [f"s{n}" for n in rng.integers(0, subjects, templates)]
    rows = list(zip(map(name_of, rng.permutation(templates)), owners, vectors, strict=True))
    index = ExactIndex(WIDTH)
    for first in range(0, templates, 40):
        part = rows[first : first + 40]
        index.add([r[0] for r in part], [r[1] for r in part], np.stack([r[2] for r in part]))
    gone = {row[0] for row in rows if rng.random() < erase}
    assert len(index.remove(sorted(gone))) == len(gone)
    assert index.remove(sorted(gone)) == []
    rows = [row for row in rows if row[0] not in gone]
    assert len(index) == len(rows)
    assert index.num_subjects == len({row[1] for row in rows})
    probes = np.concatenate([unit(rng, 3), vectors[:2]])
    for probe, found in zip(
        probes, index.search(probes, top_k=top_k, threshold=threshold), strict=True
    ):
        agree(found, slow_search(rows, probe, top_k, threshold))
        (alone,) = index.search(probe[None], top_k=top_k, threshold=threshold)
        assert alone == found, "a score does not depend on what else is asked"
    for subject in {row[1] for row in rows}:
        scores = index.best_of_subject(subject, probes)
        mine = [row for row in rows if row[1] == subject]
        wanted = [slow_search(mine, probe, 1, -1.0)[0][0] for probe in probes]
        np.testing.assert_allclose(scores, wanted, atol=2e-7)


def test_one_subject_with_all_the_best_templates_does_not_hide_the_others() -> None:
    """Block maxima propose: they must be asked again until enough subjects are in sight."""
    rng = np.random.default_rng(0)
    probe = unit(rng, 1)
    near = probe + 0.01 * unit(rng, 5000)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    far = unit(rng, 50_000)
    vectors = np.concatenate([near.astype(np.float32), far])
    owners = ["crowd"] * 5000 + [f"s{n % 700}" for n in range(50_000)]
    order = rng.permutation(len(vectors))
    index = ExactIndex(WIDTH)
    ids = [name_of(int(n)) for n in order]
    index.add(ids, [owners[n] for n in order], vectors[order])
    (found,) = index.search(probe, top_k=10, threshold=-1.0)
    best = {}
    for owner, score in zip(
        owners, vectors.astype(np.float64) @ probe[0].astype(np.float64), strict=True
    ):
        best[owner] = max(best.get(owner, -2), score)
    wanted = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:10]
    assert [c.subject_id for c in found] == [name for name, _ in wanted]
    assert len({c.subject_id for c in found}) == 10


def test_erased_vectors_are_wiped_from_memory() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng, 100)
    index = ExactIndex(WIDTH)
    index.add([name_of(n) for n in range(100)], ["s"] * 100, vectors)
    index.remove([name_of(n) for n in range(0, 100, 3)])
    held = index._matrix.tobytes()
    for number in range(100):
        assert (vectors[number].tobytes() in held) == bool(number % 3)
    index.remove([name_of(n) for n in range(100)])
    assert not index._matrix.any()
    assert not index._ids.any()
    assert (len(index), index.num_subjects) == (0, 0)


def settings_of(dtype: Any, **changes: int) -> GraphSettings:
    return GraphSettings(above=0, threads=1, dtype=dtype, **changes)


def faces(rng: np.random.Generator, subjects: int, each: int, width: int) -> np.ndarray:
    """Vectors like those of faces: few directions matter, and a subject's are near each other."""
    directions = rng.normal(size=(24, width))
    centres = rng.normal(size=(subjects, 24)) @ directions
    vectors = np.repeat(centres, each, axis=0) + 1.5 * rng.normal(size=(subjects * each, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["f16", "i8"])
def test_the_graph_finds_what_exact_search_finds(dtype: str) -> None:
    rng = np.random.default_rng(0)
    vectors = faces(rng, 2000, 2, 64)
    ids = [name_of(n) for n in range(4000)]
    owners = [f"s{n // 2}" for n in range(4000)]
    exact = ExactIndex(64)
    graph = ApproximateIndex(64, settings=settings_of(dtype, expansion_search=128))
    for index in (exact, graph):
        index.add(ids, owners, vectors)
    gone = [ids[n] for n in rng.choice(4000, 1000, replace=False)]
    back = gone[:500]  # nodes of erased templates are used again
    for index in (exact, graph):
        index.remove(gone)
        places = [ids.index(name) for name in back]
        index.add(back, [owners[n] for n in places], vectors[places])
    assert len(exact) == len(graph) == 3500
    probes = vectors[rng.choice(4000, 200)] + 0.05 * rng.normal(size=(200, 64)).astype(np.float32)
    probes = (probes / np.linalg.norm(probes, axis=1, keepdims=True)).astype(np.float32)
    hits = total = 0
    pairs = zip(
        exact.search(probes, top_k=10, threshold=-1.0),
        graph.search(probes, top_k=10, threshold=-1.0),
        strict=True,
    )
    for wanted, found in pairs:
        scores = {c.subject_id: c for c in wanted}
        hits += sum(scores.get(c.subject_id) == c for c in found)
        total += len(wanted)
        assert len(found) == 10
        assert not {c.template_id for c in found} & set(gone[500:])
    assert hits / total >= 0.99


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
def test_what_is_farther_than_the_threshold_is_not_looked_for(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    vectors = faces(rng, 1000, 2, 64)
    graph = ApproximateIndex(64, settings=settings_of(dtype))
    graph.add([name_of(n) for n in range(2000)], [f"s{n // 2}" for n in range(2000)], vectors)

    def refuse(*_given: object, **_named: object) -> None:
        raise AssertionError("every template was compared")

    monkeypatch.setattr(ExactIndex, "search", refuse)
    for probe in range(0, 2000, 100):
        (found,) = graph.search(vectors[probe : probe + 1], top_k=5, threshold=0.98)
        assert [c.subject_id for c in found] == [f"s{probe // 2}"]


def test_a_graph_of_few_templates_answers_fully() -> None:
    rng = np.random.default_rng(0)
    graph = ApproximateIndex(WIDTH, settings=GraphSettings(above=0, threads=1))
    assert graph.search(unit(rng, 1), top_k=3, threshold=-1.0) == [[]]
    graph.add([name_of(n) for n in range(300)], ["a"] * 299 + ["b"], unit(rng, 300))
    for found in graph.search(unit(rng, 5), top_k=9, threshold=-1.0):
        assert {c.subject_id for c in found} == {"a", "b"}
    graph.remove([name_of(299)])
    for found in graph.search(unit(rng, 5), top_k=9, threshold=-1.0):
        assert [c.subject_id for c in found] == ["a"]


def test_below_its_size_the_graph_is_not_grown() -> None:
    rng = np.random.default_rng(0)
    graph = ApproximateIndex(WIDTH, settings=GraphSettings(above=50, threads=1))
    graph.add([name_of(n) for n in range(50)], ["a"] * 50, unit(rng, 50))
    small = graph.num_bytes
    graph.add([name_of(50)], ["b"], unit(rng, 1))
    assert graph.num_bytes > small
    assert len(graph.search(unit(rng, 1), top_k=2, threshold=-1.0)[0]) == 2


@pytest.mark.parametrize(
    "setting", [{"above": -1}, {"threads": -1}, {"connectivity": 1}, {"expansion_search": 0}]
)
def test_odd_settings_of_the_graph(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must"):
        GraphSettings(**setting)


def test_readers_share_and_a_writer_is_alone_and_not_starved() -> None:
    turns, inside, most, alone = Turns(), [0], [0], []
    stop = time.monotonic() + 0.5
    lock = threading.Lock()

    def read() -> None:
        while time.monotonic() < stop:
            with turns.reading():
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                with lock:
                    inside[0] -= 1

    def write() -> None:
        while time.monotonic() < stop:
            with turns.writing():
                alone.append(inside[0])
            time.sleep(0.005)

    threads = [threading.Thread(target=job) for job in (read, read, read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] > 1
    assert len(alone) > 5
    assert set(alone) == {0}
