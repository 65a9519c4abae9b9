"""Cells, the board that gathers them, and verdicts that never say defended."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xnn.attacks.knowledge import Knowledge
from xnn.bench.cells import CellStore
from xnn.errors import ConfigError, MissingExtraError
from xnn.metrics.evaluation import Measured
from xnn.metrics.intervals import Bootstrap
from xnn.redteam import cell, judges
from xnn.redteam.board import BoardCells, BoardSettings, num_cells, run_board, specs_of
from xnn.redteam.casting import Sizes
from xnn.redteam.cell import CellSpec, run_cell
from xnn.redteam.trials import Trial, plan
from xnn.redteam.utility_cell import NOTHING_UPLOADED, UtilitySpec, run_utility_cell
from xnn.redteam.verdicts import attack_rows, headline_rows, utility_rows
from xnn.report.board_markdown import board_markdown
from xnn.report.board_page import board_page

UNPAIRED = Trial(attack="unpaired-moments", knowledge=Knowledge())
SIZES = Sizes(records=400, probes=60, public=600)


@pytest.fixture
def base(store: Path) -> CellSpec:
    return CellSpec(
        victim=store / "victim-1",
        public=store / "public-2",
        extractor="toy",
        split_depth=None,
        scheme="paper",
        trial=UNPAIRED,
        seed=0,
        sizes=SIZES,
    )


def rate(measured: tuple[Measured, ...], protocol: str, metric: str) -> float:
    (found,) = [m for m in measured if (m.protocol, m.metric) == (protocol, metric)]
    return found.bootstrap.value


def test_the_paper_scheme_is_broken_in_a_cell(base: CellSpec) -> None:
    measured, details = run_cell(base)
    assert rate(measured, "instance", "rank_1") > 0.5, "chance is 1 in 60"
    assert rate(measured, "linkage", "rank_1") > 0.5, "chance is 1 in 17"
    assert details["wall_s"] > 0


def test_a_cell_says_why_it_was_not_tried(base: CellSpec) -> None:
    measured, details = run_cell(replace(base, scheme="paper-fresh-order"))
    assert measured == ()
    assert "order of their own" in details["refused"]
    greedy = replace(UNPAIRED, knowledge=Knowledge(known_pairs=400))
    measured, details = run_cell(replace(base, trial=greedy))
    assert measured == ()
    assert "hold more records" in details["too_little"]


def test_the_cost_of_a_scheme_is_measured_on_the_same_party(base: CellSpec) -> None:
    spec = UtilitySpec(victim=base.victim, extractor="toy", scheme="paper", seed=0, epochs=2)
    measured, _ = run_utility_cell(spec)
    assert rate(measured, "by_person", "rank_1") > 0.4, "5 people"


def test_recognition_without_an_upload_stands_beside_it(base: CellSpec) -> None:
    spec = UtilitySpec(victim=base.victim, extractor="toy", scheme=NOTHING_UPLOADED, seed=0)
    measured, details = run_utility_cell(spec)
    assert rate(measured, "by_person", "rank_1") > 0.4
    assert details["wall_s"] < 5
    assert spec.facts() != replace(spec, scheme="plain").facts()
    settings = BoardSettings(schemes=("plain",), trials=(UNPAIRED,), seeds=2, sizes=SIZES)
    assert num_cells(base, settings) == 2 * (1 + 1 + 1)


def test_a_board_runs_side_by_side_and_goes_on(base: CellSpec, tmp_path: Path) -> None:
    settings = BoardSettings(
        schemes=("paper", "paper-fresh-order"),
        trials=(UNPAIRED,),
        seeds=1,
        sizes=SIZES,
        workers=2,
        utility=False,
    )
    names = [(s.scheme, s.trial.attack, s.seed) for s in specs_of(base, settings)]
    assert names[0] == ("plain", "unpaired-moments", 0), "the control comes with it"
    assert len(names) == num_cells(base, settings) == 3
    cells, said = CellStore(tmp_path / "cells"), []
    first = run_board(base, settings, cells, on_cell=said.append)
    assert sorted(said) == [
        "unpaired-moments on paper, seed 0",
        "unpaired-moments on paper-fresh-order, seed 0",
        "unpaired-moments on plain, seed 0",
    ]
    again = run_board(base, settings, cells)
    wider = replace(settings, schemes=("pooled", "paper"), seeds=2, only_finished=True)
    part = run_board(base, wider, cells)
    assert {scheme for scheme, _ in part.attacks} == {"plain", "paper"}
    assert all(len(ones) == 1 for ones in part.attacks.values()), "one seed was run"
    with pytest.raises(ConfigError, match="none of these cells"):
        run_board(base, wider, CellStore(tmp_path / "empty"))
    rows = attack_rows(first, extractor="toy")
    assert rows == attack_rows(again, extractor="toy")
    by = {row["scheme"]: row for row in headline_rows(rows)}
    assert by["paper"]["verdict"] == "broken"
    assert by["paper"]["control"] == by["plain"]["value"]
    assert by["paper-fresh-order"]["verdict"] == "not applicable"
    assert by["paper-fresh-order"]["value"] is None
    assert by["paper"]["known_level"] == "K2"


def test_an_interrupted_board_keeps_what_it_finished(base: CellSpec, tmp_path: Path) -> None:
    settings = BoardSettings(
        schemes=("paper",), trials=(UNPAIRED,), seeds=2, sizes=SIZES, workers=1, utility=False
    )
    cells, done = CellStore(tmp_path / "cells"), []

    def stop_after_two(text: str) -> None:
        done.append(text)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_board(base, settings, cells, on_cell=stop_after_two)
    kept = run_board(base, replace(settings, only_finished=True), cells)
    assert sum(len(ones) for ones in kept.attacks.values()) >= 2
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}
    whole = run_board(base, settings, cells)
    assert sum(len(ones) for ones in whole.attacks.values()) == 4
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


def test_judges_are_taught_once_for_all_attacks_of_one_cast(
    base: CellSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = []
    monkeypatch.setattr(cell, "judges_for", lambda *given: taught.append(given) or ())
    cell._taught_judges.cache_clear()
    for attack, scheme in (("inversion", "plain"), ("inversion", "paper")):
        run_cell(replace(base, scheme=scheme, trial=Trial(attack=attack, knowledge=Knowledge())))
    alike = replace(base, trial=cell._any_attack(Knowledge()), scheme="plain")
    cell._taught_judges(alike)
    assert len(taught) == 1


def measured(value: float, spread: float = 0.01, **changes: Any) -> Measured:
    facts = {"protocol": "linkage", "metric": "rank_1", "chance": 0.02, "subjects": 50} | changes
    replicates = value + spread * np.linspace(-1, 1, 101)
    return Measured(bootstrap=Bootstrap(value=value, replicates=replicates), probes=100, **facts)


def board_of(plain: float, paper: float, **changes: Any) -> BoardCells:
    cells = {
        (scheme, UNPAIRED): [((measured(value, **changes),), {"wall_s": 1.0})] * 2
        for scheme, value in (("plain", plain), ("paper", paper))
    }
    return BoardCells(
        attacks=cells,
        utility={"paper": [((measured(0.8, protocol="by_person"),), {"wall_s": 1.0})]},
    )


@pytest.mark.parametrize(
    ("plain", "paper", "verdict"),
    [
        (0.9, 0.5, "broken"),
        (0.9, 0.061, "not broken by this suite"),
        (0.9, 0.02, "not broken by this suite"),
        (0.05, 0.02, "not working"),
        (0.05, 0.9, "not working"),
    ],
)
def test_verdicts(plain: float, paper: float, verdict: str) -> None:
    rows = attack_rows(board_of(plain, paper), extractor="toy")
    assert {r["verdict"] for r in rows if r["scheme"] == "paper"} == {verdict}


@pytest.mark.parametrize(("metric", "worst"), [("rank_1", 0.4), ("eer", 0.1)])
def test_the_worst_seed_is_the_attackers_best(metric: str, worst: float) -> None:
    seeds = [((measured(v, metric=metric),), {"wall_s": 1.0}) for v in (0.4, 0.1)]
    board = BoardCells(attacks={("plain", UNPAIRED): seeds}, utility={})
    rows = [r for r in attack_rows(board, extractor="toy") if r["metric"] == metric]
    assert [row["worst_seed"] for row in rows] == [worst]


def content(board: BoardCells) -> dict[str, Any]:
    rows = attack_rows(board, extractor="toy")
    whole = {
        "rows": rows,
        "utility": utility_rows(board, extractor="toy"),
        "victim": "somebody",
        "public": "others",
        "sizes": {"records": 200, "public": 250},
        "seeds": 2,
        "command": "xnn board",
    }
    return json.loads(json.dumps(whole))


def test_the_tables_show_what_was_measured() -> None:
    text = board_markdown(content(board_of(0.9, 0.5)))
    assert re.search(r"`paper` \| 0.800 \[0.79.* \| 0.500 \[0.49.* \| unp.* 0.020 \|", text)
    assert re.search(r"\*\*0.500 \[0.49\d, 0.5\d+\]\*\*", text)
    failing = board_markdown(content(board_of(0.05, 0.02)))
    assert "attack not working" in failing
    assert "**0.0" not in failing


def test_with_pairs_people_of_no_pair_count() -> None:
    known = Trial(attack="known-plaintext", knowledge=Knowledge(known_pairs=16))
    both = measured(0.3), measured(0.1, protocol="linkage-others")
    cells = {(scheme, known): [(both, {"wall_s": 1.0})] * 2 for scheme in ("plain", "paper")}
    text = board_markdown(content(BoardCells(attacks=cells, utility={})))
    assert re.search(r"`paper` \| - \| - \| - \| 0.100 \[0.09.*\] \| known-plaintext", text)
    assert re.search(r"\*\*0.300 \[.*\]\*\*; no pair: 0.100 \[", text)


def test_a_number_of_fewer_seeds_than_the_boards_says_so() -> None:
    board = board_of(0.9, 0.5)
    one = BoardCells(
        attacks={key: cells[: 1 + (key[0] == "plain")] for key, cells in board.attacks.items()},
        utility=board.utility,
    )
    assert "seed)" not in board_markdown(content(board))
    text = board_markdown(content(one))
    assert re.search(r"\*\*0.500 \[.*\] \(1 seed\)\*\*", text)
    assert not re.search(r"0.900 \[[^|]*seed\)", text)


def test_the_page_is_one_file_without_a_network() -> None:
    page = board_page(content(board_of(0.9, 0.5)))
    assert "<svg" in page
    assert 'class="heat heat-5"' in page, "0.5 is half the way from chance to 1"
    assert "http:" not in page.replace("http://www.w3.org", "")


def test_plans() -> None:
    names = [trial.name for trial in plan(["unpaired-moments", "known-plaintext"], pairs=(1, 16))]
    assert names == ["unpaired-moments", "known-plaintext, 1 pairs", "known-plaintext, 16 pairs"]
    assert {t.attack for t in plan(["all"])} >= {"unpaired-moments", "expectation-recognition"}
    with pytest.raises(ConfigError, match="unknown attack 'rot13'"):
        plan(["rot13"])
    with pytest.raises(ConfigError, match="at least one scheme"):
        BoardSettings(schemes=(), trials=(UNPAIRED,))
    with pytest.raises(ConfigError, match="unknown scheme"):
        BoardSettings(schemes=("rot13",), trials=(UNPAIRED,))


def test_rebuilt_faces_are_judged_by_those_who_never_saw_the_extractor(
    base: CellSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfetched(**options: object) -> None:
        raise MissingExtraError("slow, and not on every machine")

    monkeypatch.setattr(judges, "vit_s14", unfetched)
    trial = replace(UNPAIRED, attack="inversion")
    # Fewer faces for the attacker leave bystanders, from whom judges learn.
    found, details = run_cell(replace(base, trial=trial, sizes=replace(SIZES, public=80)))
    protocols = {one.protocol for one in found}
    assert {"linkage", "instance", "features", "key", "picture"} <= protocols
    assert {"rebuilt-dlib", "original-dlib"} <= protocols
    assert {"rebuilt-fisherfaces", "original-fisherfaces"} <= protocols
    assert details["wrapped"] == "unpaired-moments"
    assert rate(found, "original-fisherfaces", "rank_1") > 0.2  # chance is 1 / 17
