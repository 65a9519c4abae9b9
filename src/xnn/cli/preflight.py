"""`xnn shard preflight`: the quick attacks on the owner's own data, on one screen."""

from pathlib import Path
from typing import Any

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
from xnn.report.audit_content import worst_first

QUICK = (
    "unpaired-moments",
    "cross-covariance",
    "aligned-order",
    "token-clusters",
    "known-plaintext",
    "fingerprint",
    "gram-features",
    "class-reading",
    "class-anchors",
)
"""A1 to A6 of the red team's list, and the quick ones that pooled records allow: seconds each."""

_PAIRS = (16,)


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
    ours, theirs, copies = load_parties(load_faces(data), attacker, loaded, store)
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
    own = [row for row in worst_first(headline_rows(rows)) if row["scheme"] == scheme]
    working = [row for row in own if row["value"] is not None and row["verdict"] != "not working"]
    broken = sum(row["verdict"] == "broken" for row in working)
    told = f"{len(working)} quick attacks that can be tried and work"
    if broken:
        verdict = f"{broken} of {told} break {scheme} on this data: do not upload it so"
    elif working:
        verdict = f"none of {told} broke {scheme} on this data; others may"
    else:
        verdict = f"nothing is known: no quick attack can be tried on {scheme}, or none works here"
    content = {"command": command_line(), "verdict": verdict, "copies_left_out": copies}
    write_json(out, content | {"rows": rows})
    left = [f"{row['trial']}: {row['reason']}" for row in own if row["value"] is None]
    emit(
        {
            "verdict": verdict,
            "out": str(out),
            "attacks": [_shown(row) for row in own if row["value"] is not None],
            "not_tried": "; ".join(left) or "none",
        },
        title="Pre-flight",
    )


def _shown(row: dict[str, Any]) -> dict[str, str]:
    """Return a row in few columns, to fit a screen."""
    control = row["control"]
    return {
        "attack": row["trial"],
        "measured": f"{row['protocol']} {row['metric']}",
        "reached": f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
        "guessing": f"{row['chance']:.3f}",
        "control": "none" if control is None else f"{control:.3f}",
        "verdict": row["verdict"],
    }
