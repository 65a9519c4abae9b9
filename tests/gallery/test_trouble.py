"""A gallery that is locked, on a full disk or used by many: one clear error, state intact."""

import resource
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from xnn.database import open_database
from xnn.errors import BusyError, ConfigError, LimitError, UnknownNameError
from xnn.gallery import GalleryLimits, open_gallery

BUNDLE = "ab" * 32


def rid(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def impatient(path: Path, master_key):
    """A gallery that waits a tenth of a second for locks."""
    gallery = open_gallery(open_database(str(path), timeout_s=0.1), master_key)
    yield gallery
    gallery.close()


def test_locked_by_another_process(impatient, path: Path, draw) -> None:
    vectors = draw(1)
    impatient.enrol("t", "a", vectors, bundle_id=BUNDLE, request_id=rid(1), create=True)
    (info,) = impatient.templates("t", "a")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for attempt in (
        lambda: impatient.enrol("t", "a", vectors, bundle_id=BUNDLE, request_id=rid(2)),
        lambda: impatient.create_subject("t", "b"),
        lambda: impatient.erase_template("t", info.template_id),
        lambda: impatient.delete_subject("t", "a"),
        lambda: impatient.retire("t", bundle_id=BUNDLE),
    ):
        with pytest.raises(BusyError, match="locked by another process; nothing was changed"):
            attempt()
    (found,) = impatient.search("t", vectors, bundle_id=BUNDLE, top_k=5)
    assert [c.template_id for c in found] == [info.template_id], "searching goes on"
    other.rollback()
    other.close()
    assert len(impatient.enrol("t", "a", vectors, bundle_id=BUNDLE, request_id=rid(2))) == 1
    assert impatient.count("t") == (1, 2)


def test_a_full_disk(gallery, reopen, path: Path, draw) -> None:
    kept = gallery.enrol("t", "a", draw(1), bundle_id=BUNDLE, request_id=rid(1), create=True)
    size = path.with_name(path.name + "-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, hard))
    try:
        for number in (2, 3):
            with pytest.raises(BusyError, match="disk is full or fails"):
                gallery.enrol(
                    "t",
                    "b",
                    draw(100, width=512),
                    bundle_id="other",
                    request_id=rid(number),
                    create=True,
                )
        (found,) = gallery.search("t", draw(1), bundle_id=BUNDLE, top_k=5)
        assert [c.template_id for c in found] == [kept[0].template_id]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for opened in (gallery, reopen()):
        assert opened.count("t") == (1, 1)
        assert opened.templates("t", "a") == kept
        with pytest.raises(UnknownNameError):
            opened.templates("t", "b")
    gallery.enrol("t", "b", draw(1), bundle_id=BUNDLE, request_id=rid(2), create=True)


def test_threads_enrol_erase_and_search_at_once(gallery, reopen, draw) -> None:
    """What was acknowledged is there, what was erased is not, in memory as in the file."""
    vectors = draw(80, seed=1)

    def work(number: int) -> None:
        name, mine = f"s{number % 10}", vectors[number : number + 1]
        (info,) = gallery.enrol(
            "t", name, mine, bundle_id=BUNDLE, request_id=rid(number), create=True
        )
        (found,) = gallery.search("t", mine, bundle_id=BUNDLE, top_k=1)
        assert found[0].score == pytest.approx(1, abs=1e-6)
        assert gallery.verify("t", name, mine, bundle_id=BUNDLE)[0] == pytest.approx(1, abs=1e-6)
        if number % 2:
            gallery.erase_template("t", info.template_id)
            (found,) = gallery.search("t", mine, bundle_id=BUNDLE, top_k=1000)
            assert info.template_id not in {c.template_id for c in found}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(80)))
    assert gallery.count("t") == (10, 40)
    fresh = reopen()
    mine = gallery.search("t", vectors, bundle_id=BUNDLE, top_k=10)
    assert mine == fresh.search("t", vectors, bundle_id=BUNDLE, top_k=10)


def test_a_thousand_samples_of_one_subject(gallery, draw) -> None:
    with pytest.raises(LimitError, match="at most 100 are kept"):
        gallery.enrol("t", "a", draw(1000), bundle_id=BUNDLE, request_id=rid(1), create=True)
    assert gallery.count("t") == (0, 0)
    for number in range(10):
        gallery.enrol("t", "a", draw(10), bundle_id=BUNDLE, request_id=rid(number), create=True)
    with pytest.raises(LimitError, match="has 100 templates and would get 1 more"):
        gallery.enrol("t", "a", draw(1), bundle_id=BUNDLE, request_id=rid(99))
    assert gallery.count("t") == (1, 100)


def test_erasures_that_are_no_longer_listed_are_noticed_all_the_same(
    gallery, reopen, draw, monkeypatch
) -> None:
    """A process that slept through more erasures than are kept loads everything anew."""
    from xnn.gallery import records

    monkeypatch.setattr(records, "_KEPT_ERASURES", 3)
    sleeper = reopen()
    for number in range(6):
        name = f"s{number}"
        gallery.enrol("t", name, draw(1), bundle_id=BUNDLE, request_id=rid(number), create=True)
    assert len(sleeper.search("t", draw(1), bundle_id=BUNDLE, top_k=9)[0]) == 6
    for number in range(5):
        gallery.delete_subject("t", f"s{number}")
        gallery.enrol("t", "x", draw(1), bundle_id=BUNDLE, request_id=rid(90 + number), create=True)
    (found,) = sleeper.search("t", draw(1), bundle_id=BUNDLE, top_k=9)
    assert {c.subject_id for c in found} == {"s5", "x"}
    assert sum(len(index) for index in sleeper._keeper._indexes.values()) == 6


@pytest.mark.parametrize(
    "setting", [{"templates_per_subject": 0}, {"top_k": -1}, {"request_age_ms": -1}]
)
def test_odd_limits(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must"):
        GalleryLimits(**setting)


def test_reprs_show_no_vector_and_no_address(gallery, path: Path) -> None:
    shown = f"{gallery!r} {gallery.vault!r} {gallery.database!r}"
    assert str(path.parent) not in shown
    assert np.array2string(np.zeros(1)) not in shown
