"""`xnn shard preflight`: the quick attacks on the owner's own data, on one screen."""

from pathlib import Path

from xnn.attacks.knowledge import Knowledge
from xnn.bench.cells import CellStore
from xnn.cli.measured import command_line
from xnn.cli.output import emit, progress
from xnn.cli.parties import base_spec, load_parties
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.files import write_json
from xnn.redteam.board import BoardSettings, num_cells, run_board
from xnn.redteam.trials import plan
from xnn.redteam.verdicts import attack_rows, headline_rows

QUICK = (
    "unpaired-moments",
    "cross-covariance",
    "aligned-order",
    "token-clusters",
    "known-plaintext",
    "fingerprint",
)
"""A1 to A6 of the red team's list: no training, seconds each."""

_PAIRS = (16,)
_SHOWN = ("trial", "protocol", "metric", "value", "low", "high", "chance", "control", "verdict")


def run_preflight(
    *,
    data: Path,
    public: Path | None,
    out: Path,
    scheme: str,
    extractor: str,
    seeds: int,
    workers: int,
) -> None:
    """Run the quick attacks that apply and print a line for each.

    Raises:
        ConfigError: An unknown scheme or extractor.
        FacesError: A subject is in both sets.
        InsufficientDataError: Too few people to play the parties.
    """
    store = out.with_name(out.name + ".cells")
    cells = CellStore(store)
    loaded = load_extractor(extractor)
    attacker = None if public is None else load_faces(public)
    ours, theirs = load_parties(load_faces(data), attacker, loaded, store)
    level = Knowledge(public_faces="same_collection" if theirs is None else "other_collection")
    trials = plan(QUICK, base=level, pairs=_PAIRS)
    settings = BoardSettings(
        schemes=(scheme,), trials=trials, seeds=seeds, workers=workers, utility=False
    )
    base = base_spec(
        ours, theirs, store, extractor=extractor, split_depth=None, scheme=scheme, trial=trials[0]
    )
    with progress("attacks", total=num_cells(base, settings)) as advance:
        done = run_board(base, settings, cells, on_cell=lambda text: advance(1))
    rows = attack_rows(done, extractor=extractor)
    shown = [
        {name: row.get(name) for name in _SHOWN}
        for row in headline_rows(rows)
        if row["scheme"] == scheme and row["verdict"] != "not applicable"
    ]
    broken = sum(row["verdict"] == "broken" for row in shown)
    verdict = (
        f"{broken} of {len(shown)} quick attacks break {scheme} on this data: do not upload it so"
        if broken
        else f"none of {len(shown)} quick attacks broke {scheme} on this data; others may"
    )
    write_json(out, {"command": command_line(), "verdict": verdict, "rows": rows})
    emit({"verdict": verdict, "out": str(out), "attacks": shown}, title="Pre-flight")
