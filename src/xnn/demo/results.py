"""What the report of a demo shows, gathered from all parties."""

import datetime
import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from xnn.demo.curves import cmc_of, roc_of, training_curve
from xnn.demo.orl import CREDIT
from xnn.demo.parties import Cloud, Owner
from xnn.faces.crop import read_crops
from xnn.faces.dataset import FaceSet
from xnn.metrics.evaluation import Evaluation, Measured, pooled_rows
from xnn.models.margin import chance_loss
from xnn.owner.binding import obfuscator_for
from xnn.report import AttackRow, DemoResults, UtilityRow
from xnn.report.noise_summary import FrontLine

SCHEMES = ("plain", "paper")

_NUM_SHOWN = 6
_METRICS = ("rank_1", "eer", "tar_at_far_0.01", "tar_at_far_0.001")
_COMMANDS = (
    "xnn faces align PHOTOS crops",
    "xnn faces split crops faces.csv",
    "xnn key new owner.key --dataset orl --scheme paper",
    "xnn shard build faces.csv --key owner.key --out shards --mirror",
    "xnn train shards --out run",
    "xnn eval run/bundle faces.csv --key owner.key",
    "xnn board --victim crops --public OTHER_FACES --schemes paper --out board.json",
    "xnn bench noise --victim crops --public OTHER_FACES --presets plain,gaussian,xnn --out f.json",
)


def collect_results(
    owner: Owner,
    cloud: Cloud,
    faces: FaceSet,
    evaluations: dict[str, list[tuple[Evaluation, ...]]],
    leak_rows: list[dict[str, Any]],
    fronts: tuple[FrontLine, ...],
    seconds: dict[str, float],
) -> DemoResults:
    """Gather what the report shows: rates over all seeds, curves and pictures of the first.

    Args:
        owner: Its key and extractor make the token pictures again.
        cloud: Its training logs are read.
        faces: The owner's whole set.
        evaluations: By scheme and seed; by person first.
        leak_rows: From `xnn.redteam.verdicts.attack_rows`.
        fronts: Of the inference phase; empty where it was not run.
        seconds: By stage.
    """
    keyfile = owner.key("paper", 0)
    shown = _one_of_each(faces)
    crops = read_crops([faces.samples[i].path for i in shown])
    tokens = owner.extractor.tokens(torch.from_numpy(crops))
    first = {scheme: by_seed[0][0] for scheme, by_seed in evaluations.items()}
    num_classes = len(owner.divide(faces, 0).only("train").subjects)
    side = round(owner.extractor.card.n**0.5)
    return DemoResults(
        dataset="ORL faces",
        credit=CREDIT,
        num_photos=len(faces),
        num_subjects=len(faces.subjects),
        extractor=owner.extractor.card.name,
        key_id=keyfile.key.key_id,
        crops=crops,
        names=tuple(str(faces.samples[i].subject) for i in shown),
        plain_tokens=tokens.numpy(),
        obfuscated_tokens=obfuscator_for(keyfile.key, owner.extractor).obfuscate(tokens).numpy(),
        grid=(side, side),
        training=tuple(
            training_curve(scheme, cloud.folder / f"run-{scheme}-0", chance_loss(num_classes))
            for scheme in SCHEMES
        ),
        cmc=tuple(cmc_of(scheme, first[scheme]) for scheme in SCHEMES),
        roc=tuple(roc_of(scheme, first[scheme]) for scheme in SCHEMES),
        utility=_utility_rows(evaluations),
        attacks=_attack_rows(leak_rows),
        fronts=fronts,
        seconds=dict(seconds),
        versions={name: version(name) for name in ("xnn-face", "torch", "numpy", "pyarrow")},
        seeds={
            "splits, training and attack: first": 0,
            "splits, training and attack: last": len(evaluations["plain"]) - 1,
        },
        commands=_COMMANDS,
        machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
    )


def _one_of_each(faces: FaceSet) -> list[int]:
    subjects = faces.subjects
    spread = np.linspace(0, len(subjects) - 1, min(_NUM_SHOWN, len(subjects))).astype(int)
    wanted = [subjects[i] for i in spread]
    rows = {sample.subject: i for i, sample in reversed(list(enumerate(faces.samples)))}
    return [rows[subject] for subject in wanted]


def _utility_rows(
    evaluations: dict[str, list[tuple[Evaluation, ...]]],
) -> tuple[UtilityRow, ...]:
    rows = []
    for scheme, by_seed in evaluations.items():
        per_seed: list[list[Measured]] = [
            [one for evaluation in evaluated for one in evaluation.measured]
            for evaluated in by_seed
        ]
        for row in pooled_rows(per_seed):
            if row["metric"] in _METRICS:
                del row["seeds"]
                rows.append(UtilityRow(scheme=scheme, **row))
    return tuple(
        sorted(rows, key=lambda row: (row.protocol != "by_person", row.metric != "rank_1"))
    )


def _attack_rows(rows: list[dict[str, Any]]) -> tuple[AttackRow, ...]:
    fields = ("scheme", "metric", "value", "low", "high", "chance")
    chosen = [
        row
        for row in rows
        if row["protocol"] == "linkage" and row["metric"] in ("rank_1", "tar_at_far_0.01")
    ]
    return tuple(
        AttackRow(
            attack=row["trial"],
            control_ok=row["verdict"] != "not working",
            **{name: row[name] for name in fields},
        )
        for row in chosen
        if row["value"] is not None
    )
