"""A short version of benchmarks/chaos.py: real kills, nothing promised is lost."""

from pathlib import Path

import pytest

from chaos import Chaos


def test_nothing_acknowledged_is_lost_by_kills(tmp_path: Path) -> None:
    found = Chaos(tmp_path, workers=2, seed=1).run(40, seconds=(0.2, 0.8))
    assert found["counts"]["kills"] >= 1
    assert found["counts"]["checks"] == 2 * found["counts"]["kills"]
    assert found["operations"] >= 40


def test_the_check_finds_what_is_lost(tmp_path: Path) -> None:
    """Its silence means something: a template taken out behind its back is noticed."""
    chaos = Chaos(tmp_path, workers=1, seed=2)
    worker = chaos.workers[0]
    worker._enrol("w0-0")
    chaos.gate._resting = 1  # as if the worker, which was never started, rested
    chaos._rest_and_check("whole")
    (template, *_) = worker.truth.templates["w0-0"]
    gallery = chaos.site.open()
    gallery.erase_template("a", template)
    gallery.close()
    with pytest.raises(RuntimeError, match="1 acknowledged templates lost, 0 too many"):
        chaos._rest_and_check("robbed")
    worker.truth.templates["w0-0"].discard(template)
    worker.truth.erased.add(template)
    chaos._rest_and_check("whole again")
    chaos.close()
