"""What every operation does, and what it refuses."""

import numpy as np
import pytest

from xnn.errors import (
    BundleMismatchError,
    ConfigError,
    DuplicateError,
    LimitError,
    ShapeError,
    UnknownNameError,
    XnnError,
)
from xnn.gallery import GalleryLimits

BUNDLE = "ab" * 32


def rid(number: int) -> str:
    return f"{number:032x}"


def fill(gallery, draw, *, tenant="t", people=4, each=2):
    vectors = {}
    for number in range(people):
        name = f"s{number}"
        vectors[name] = draw(each, seed=number)
        gallery.enrol(
            tenant, name, vectors[name], bundle_id=BUNDLE, request_id=rid(number), create=True
        )
    return vectors


def test_enrolled_subjects_are_found_and_verified(gallery, reopen, draw) -> None:
    vectors = fill(gallery, draw)
    for opened in (gallery, reopen()):
        assert opened.count("t") == (4, 8)
        for name, rows in vectors.items():
            (found,) = opened.search("t", rows[:1], bundle_id=BUNDLE, top_k=3)
            assert found[0].subject_id == name
            assert found[0].score == pytest.approx(1, abs=1e-6)
            assert len({c.subject_id for c in found}) == 3
            assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
            scores = opened.verify("t", name, rows, bundle_id=BUNDLE)
            np.testing.assert_allclose(scores, 1, atol=1e-6)


def test_listing(gallery, draw) -> None:
    fill(gallery, draw, people=3, each=2)
    gallery.create_subject("t", "s10")
    assert gallery.subjects("t") == ["s0", "s1", "s10", "s2"]
    assert gallery.subjects("t", after="s1", limit=1) == ["s10"]
    assert gallery.templates("t", "s10") == []
    first, second = gallery.templates("t", "s1")
    assert (first.subject_id, first.bundle_id, first.key_id) == ("s1", BUNDLE, None)
    assert first.template_id != second.template_id
    assert abs(first.created_ms - second.created_ms) < 1000


def test_a_repeated_request_adds_nothing(gallery, reopen, draw) -> None:
    first = gallery.enrol("t", "a", draw(2), bundle_id=BUNDLE, request_id=rid(1), create=True)
    again = {"bundle_id": BUNDLE, "request_id": rid(1), "create": True}
    assert gallery.enrol("t", "a", draw(2), **again) == first
    assert reopen().enrol("t", "a", draw(2), **again) == first
    gallery.erase_template("t", first[0].template_id)
    assert gallery.enrol("t", "a", draw(2), **again) == first[1:]
    gallery.delete_subject("t", "a")
    assert gallery.enrol("t", "a", draw(2), **again) == []
    assert gallery.count("t") == (0, 0)
    with pytest.raises(DuplicateError, match="another request"):
        gallery.enrol("t", "b", draw(2), **again)
    # It is the tenant's own number.
    assert len(gallery.enrol("u", "a", draw(2), **again)) == 2


def test_requests_are_forgotten_by_age(reopen, draw) -> None:
    now = [10_000]
    gallery = reopen(limits=GalleryLimits(request_age_ms=1000), clock_ms=lambda: now[0])
    again = {"bundle_id": BUNDLE, "request_id": rid(1), "create": True}
    gallery.enrol("t", "a", draw(1), **again)
    now[0] += 1000
    gallery.enrol("t", "a", draw(1), **again)
    assert gallery.count("t") == (1, 1)
    now[0] += 1
    gallery.enrol("t", "a", draw(1), **again)
    assert gallery.count("t") == (1, 2)


def test_erased_templates_are_never_found(gallery, reopen, draw) -> None:
    vectors = fill(gallery, draw)
    other = reopen()
    first, second = gallery.templates("t", "s1")
    gallery.erase_template("t", first.template_id)
    for opened in (gallery, other):
        (found,) = opened.search("t", vectors["s1"][:1], bundle_id=BUNDLE, top_k=10)
        assert first.template_id not in {c.template_id for c in found}
        assert opened.templates("t", "s1") == [second]
    assert gallery.delete_subject("t", "s1") == 1
    for opened in (gallery, other):
        (found,) = opened.search("t", vectors["s1"][:1], bundle_id=BUNDLE, top_k=10)
        assert {c.subject_id for c in found} == {"s0", "s2", "s3"}
        with pytest.raises(UnknownNameError):
            opened.verify("t", "s1", vectors["s1"], bundle_id=BUNDLE)


def test_tenants_do_not_see_each_other(gallery, draw) -> None:
    vectors = fill(gallery, draw, tenant="t")
    assert gallery.count("u") == (0, 0)
    assert gallery.subjects("u") == []
    assert gallery.search("u", vectors["s0"][:1], bundle_id=BUNDLE, top_k=5) == [[]]
    (info, _) = gallery.templates("t", "s0")
    for attempt in (
        lambda: gallery.verify("u", "s0", vectors["s0"], bundle_id=BUNDLE),
        lambda: gallery.templates("u", "s0"),
        lambda: gallery.delete_subject("u", "s0"),
        lambda: gallery.erase_template("u", info.template_id),
    ):
        with pytest.raises(UnknownNameError):
            attempt()
    gallery.create_subject("u", "s0")
    assert gallery.count("t") == (4, 8)


def test_bundles_and_keys_are_not_mixed(gallery, draw) -> None:
    vectors = draw(1)
    gallery.enrol("t", "a", vectors, bundle_id="one", request_id=rid(1), create=True)
    gallery.enrol("t", "a", vectors, bundle_id="two", request_id=rid(2))
    gallery.enrol("t", "b", vectors, bundle_id="one", key_id="k", request_id=rid(3), create=True)
    names = [
        [c.subject_id for c in gallery.search("t", vectors, bundle_id=b, key_id=k, top_k=5)[0]]
        for b, k in (("one", None), ("two", None), ("one", "k"), ("two", "k"), ("three", None))
    ]
    assert names == [["a"], ["a"], ["b"], [], []]
    with pytest.raises(UnknownNameError, match="no template made under this bundle"):
        gallery.verify("t", "a", vectors, bundle_id="one", key_id="k")


def test_retirement_lists_whom_to_enrol_again(gallery, reopen, draw) -> None:
    vectors = draw(1)
    gallery.enrol("t", "b", vectors, bundle_id="one", request_id=rid(1), create=True)
    gallery.enrol("t", "a", vectors, bundle_id="one", key_id="k", request_id=rid(2), create=True)
    gallery.enrol("t", "c", vectors, bundle_id="two", request_id=rid(3), create=True)
    gallery.enrol("u", "d", vectors, bundle_id="one", request_id=rid(4), create=True)
    assert gallery.retire("t", key_id="k") == ["a"]
    assert gallery.retire("t", bundle_id="one") == ["b"]
    assert gallery.retire("t", bundle_id="one") == []
    for opened in (gallery, reopen()):
        assert opened.count("t") == (3, 1)
        assert opened.count("u") == (1, 1)
        for attempt in (
            lambda g=opened: g.enrol("t", "a", vectors, bundle_id="one", request_id=rid(5)),
            lambda g=opened: g.enrol(
                "t", "a", vectors, bundle_id="two", key_id="k", request_id=rid(5)
            ),
            lambda g=opened: g.search("t", vectors, bundle_id="one", top_k=1),
            lambda g=opened: g.verify("t", "b", vectors, bundle_id="one"),
        ):
            with pytest.raises(BundleMismatchError, match="retired"):
                attempt()
    with pytest.raises(ConfigError, match="nothing to retire"):
        gallery.retire("t")


def test_ties_are_ordered_by_name(gallery, draw) -> None:
    vectors = draw(1)
    for number, name in enumerate(["c", "a", "d", "b"]):
        gallery.enrol("t", name, vectors, bundle_id=BUNDLE, request_id=rid(number), create=True)
    (found,) = gallery.search("t", vectors, bundle_id=BUNDLE, top_k=3)
    assert [c.subject_id for c in found] == ["a", "b", "c"]
    assert len({c.score for c in found}) == 1


def test_a_threshold_is_reached_and_not_passed(gallery) -> None:
    enrolled = np.eye(8, dtype=np.float32)[:2]
    gallery.enrol("t", "a", enrolled[:1], bundle_id=BUNDLE, request_id=rid(1), create=True)
    gallery.enrol("t", "b", enrolled[1:], bundle_id=BUNDLE, request_id=rid(2), create=True)
    (found,) = gallery.search("t", enrolled[:1], bundle_id=BUNDLE, top_k=9, threshold=1.0)
    assert [(c.subject_id, c.score) for c in found] == [("a", 1.0)]
    (found,) = gallery.search("t", enrolled[:1], bundle_id=BUNDLE, top_k=9, threshold=0.0)
    assert [(c.subject_id, c.score) for c in found] == [("a", 1.0), ("b", 0.0)]


def bad(values: list[float]) -> np.ndarray:
    return np.array([values], np.float32)


REFUSED = {
    "NaN": (lambda g, v: enrol(g, bad([1, float("nan")] + [0] * 6)), ShapeError, "NaN"),
    "infinity": (lambda g, v: enrol(g, bad([float("inf")] * 8)), ShapeError, "infinity"),
    "zero": (lambda g, v: enrol(g, bad([0] * 8)), ShapeError, "is zero"),
    "width": (lambda g, v: enrol(g, v[:, :7]), ShapeError, "have 7 numbers, those of the bundle 8"),
    "no vector": (lambda g, v: enrol(g, v[:0]), ShapeError, "0 vectors"),
    "too wide": (lambda g, v: enrol(g, np.ones((1, 5000), np.float32)), ShapeError, "5000 numbers"),
    "thousand": (lambda g, v: enrol(g, np.tile(v, (500, 1))), LimitError, "at most 100"),
    "many": (lambda g, v: enrol(g, np.tile(v, (600, 1))), LimitError, "1200 vectors in one call"),
    "unknown": (lambda g, v: enrol(g, v, name="x"), UnknownNameError, "create it first"),
    "duplicate": (lambda g, v: g.create_subject("t", "s0"), DuplicateError, "exists"),
    "empty name": (lambda g, v: enrol(g, v, name=""), ConfigError, "1 to 128"),
    "path": (lambda g, v: enrol(g, v, name="../x"), ConfigError, "1 to 128"),
    "new line": (lambda g, v: enrol(g, v, name="s0\n"), ConfigError, "1 to 128"),
    "long name": (lambda g, v: enrol(g, v, name="x" * 129), ConfigError, "129 characters"),
    "tenant": (lambda g, v: g.count("a b"), ConfigError, "tenant"),
    "request": (lambda g, v: enrol(g, v, request="x"), ConfigError, "32 hexadecimal"),
    "bundle": (lambda g, v: enrol(g, v, bundle="x" * 65), ConfigError, "bundle_id"),
    "probe width": (
        lambda g, v: g.search("t", v[:, :3], bundle_id=BUNDLE, top_k=1),
        ShapeError,
        "have 3 numbers",
    ),
    "probe NaN": (
        lambda g, v: g.verify("t", "s0", v * np.float32("nan"), bundle_id=BUNDLE),
        ShapeError,
        "NaN",
    ),
    "top_k": (lambda g, v: g.search("t", v, bundle_id=BUNDLE, top_k=0), LimitError, "top_k=0"),
    "threshold": (
        lambda g, v: g.search("t", v, bundle_id=BUNDLE, top_k=1, threshold=2.0),
        ConfigError,
        "no cosine",
    ),
    "unknown template": (lambda g, v: g.erase_template("t", "0" * 32), UnknownNameError, "list"),
    "unknown subject": (lambda g, v: g.delete_subject("t", "x"), UnknownNameError, "no such"),
    "limit": (lambda g, v: g.subjects("t", limit=0), ConfigError, "limit=0"),
}


def enrol(gallery, vectors, *, name="s0", request="f" * 32, bundle=BUNDLE):
    return gallery.enrol("t", name, vectors, bundle_id=bundle, request_id=request)


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_line_and_changes_nothing(gallery, draw, case: str) -> None:
    attempt, kind, text = REFUSED[case]
    vectors = fill(gallery, draw)
    with pytest.raises(XnnError, match=text) as caught:
        attempt(gallery, vectors["s0"])
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert gallery.count("t") == (4, 8)
    assert (
        gallery.search("t", vectors["s2"][:1], bundle_id=BUNDLE, top_k=1)[0][0].subject_id == "s2"
    )


def test_an_empty_gallery_answers(gallery, draw) -> None:
    assert gallery.search("t", draw(2), bundle_id=BUNDLE, top_k=5) == [[], []]
    assert gallery.subjects("t") == []
    with pytest.raises(UnknownNameError, match="no such subject"):
        gallery.verify("t", "a", draw(1), bundle_id=BUNDLE)


def test_huge_and_tiny_vectors_become_units(gallery) -> None:
    for number, scale in enumerate((1e38, 1e-38)):
        vector = np.full((1, 8), scale, np.float32)
        name = f"s{number}"
        gallery.enrol("t", name, vector, bundle_id=BUNDLE, request_id=rid(number), create=True)
        scores = gallery.verify("t", name, np.ones((1, 8), np.float32), bundle_id=BUNDLE)
        np.testing.assert_allclose(scores, 1, atol=1e-6)
