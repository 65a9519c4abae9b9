"""How much of a key the unpaired attack recovers, by the number of records held.

    FACES=../shared/data python benchmarks/unpaired_curve.py --extractor dlib

Victims are some of the people in celeba/ below FACES; records of theirs under the paper's scheme
are drawn at random. The attacker owns the other people (K3: same collection) or pictures from lfw/
(K2: another collection, grey). Every row is one key and one draw of records. The file is written
after every row, so that a run that is stopped keeps what it measured.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xnn.attacks.statistics.unpaired import UnpairedSettings, recover_key, undo
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crops
from xnn.faces.dataset import FaceSet, load_faces
from xnn.files import write_json
from xnn.schemes import KeyStream, Obfuscator, find_scheme
from xnn.types import TokenShape

BATCH = 64
PROBES = 500


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extractor", default="dlib")
    parser.add_argument("--records", default="5,10,25,50,100,200,500,1000,2000,4000")
    parser.add_argument("--keys", type=int, default=3)
    parser.add_argument("--public", type=int, default=1500, help="the attacker's pictures")
    parser.add_argument("--levels", default="K2,K3")
    parser.add_argument("--victims", type=float, default=0.84, help="share of celeba's people")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    faces = Path(os.environ.get("FACES", "../shared/data"))
    if not (faces / "celeba").is_dir() or not (faces / "lfw").is_dir():
        sys.exit(f"SKIPPED: no celeba/ and lfw/ below {faces}; set FACES. Nothing was measured")
    extractor = load_extractor(options.extractor)
    victims, others = divided(load_faces(faces / "celeba"), options.victims)
    held = extract(extractor, victims)
    own = {
        "K3": extract(extractor, drawn(others, options.public)),
        "K2": extract(extractor, drawn(load_faces(faces / "lfw"), options.public)),
    }
    out = options.out or Path(f"benchmarks/results/unpaired-curve-{options.extractor}.json")
    rows: list[dict[str, Any]] = []
    for count in map(int, options.records.split(",")):
        if count > len(held):
            print(f"{count} records: left out, the victims have {len(held)} photographs")
            continue
        for level in options.levels.split(","):
            for seed in range(options.keys):
                row = measure(held, own[level], count, seed)
                rows.append({"extractor": options.extractor, "public": level, **row})
                print(rows[-1], flush=True)
                write_json(out, result_of(options, rows, held, own))


def result_of(
    options: argparse.Namespace,
    rows: list[dict[str, Any]],
    held: np.ndarray,
    own: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Return what is written: how it was made, every row, and what they amount to."""
    command = (
        f"python benchmarks/unpaired_curve.py --extractor {options.extractor} "
        f"--records {options.records} --levels {options.levels} --keys {options.keys} "
        f"--public {options.public} --victims {options.victims}"
    )
    return {
        "command": command,
        "scheme": "paper",
        "victim_photographs": len(held),
        "public_photographs": {level: len(own[level]) for level in own},
        "probes": f"the first {PROBES} records, or all",
        "threads": torch.get_num_threads(),
        "rows": rows,
        "cells": pooled(rows),
    }


def divided(faces: FaceSet, share: float) -> tuple[FaceSet, FaceSet]:
    """Return two parts with different people, the first with that share of them."""
    people = np.random.default_rng(0).permutation(np.array(faces.subjects))
    first = set(people[: round(share * len(people))].tolist())
    parts = [
        tuple(s for s in faces.samples if (s.subject in first) == inside)
        for inside in (True, False)
    ]
    return FaceSet(name="victims", samples=parts[0]), FaceSet(name="others", samples=parts[1])


def drawn(faces: FaceSet, count: int) -> FaceSet:
    """Return some of the photographs."""
    rows = np.sort(np.random.default_rng(1).permutation(len(faces))[:count])
    return FaceSet(name=faces.name, samples=tuple(faces.samples[i] for i in rows))


def extract(extractor: Extractor, faces: FaceSet) -> np.ndarray:
    """Return the tokens of all photographs, in batches."""
    paths = [sample.path for sample in faces.samples]
    parts = [
        extractor.tokens(torch.from_numpy(read_crops(paths[i : i + BATCH]))).numpy()
        for i in range(0, len(paths), BATCH)
    ]
    return np.concatenate(parts)


def measure(held: np.ndarray, own: np.ndarray, count: int, seed: int) -> dict[str, Any]:
    """Attack records under one fresh key; the judge asks the obfuscator for the truth."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(held))[:count])
    truth = held[rows]
    obfuscator = find_scheme("paper").bind(TokenShape(*truth.shape[1:]), KeyStream.fresh())
    records = obfuscator.obfuscate(torch.from_numpy(truth)).numpy()
    start = time.perf_counter()
    found = recover_key(records, own, settings=UnpairedSettings(), seed=seed)
    seconds = time.perf_counter() - start
    probes = slice(0, PROBES)
    features = undo(records[probes], found.key)
    return {
        "records": count,
        "seed": seed,
        "permutation": round(float(np.mean(found.key.place == order_of(obfuscator, truth))), 4),
        **agreement(features, truth[probes]),
        "chance": round(1 / len(features), 4),
        "seconds": round(seconds, 1),
    }


def order_of(obfuscator: Obfuscator, tokens: np.ndarray) -> np.ndarray:
    """Return the position at each place of a record, by maps with one long token each."""
    n, d = tokens.shape[1:]
    probe = np.zeros((n, n, d), dtype=np.float32)
    probe[np.arange(n), np.arange(n), 0] = 1.0
    lengths = np.linalg.norm(obfuscator.obfuscate(torch.from_numpy(probe)).numpy(), axis=2)
    return lengths.argmax(axis=1).argsort()


def agreement(features: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return what is right about recovered features, less their mean."""
    a, b = ((x - x.mean(axis=0)).reshape(len(x), -1).astype(np.float64) for x in (features, truth))
    lengths = [np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b)]
    cosines = (a / lengths[0]) @ (b / lengths[1]).T
    return {
        "centred_cosine": round(float(np.diagonal(cosines).mean()), 4),
        "r2": round(float(1 - np.sum((a - b) ** 2) / np.sum(b**2)), 4),
        "retrieval": round(float(np.mean(cosines.argmax(axis=1) == np.arange(len(a)))), 4),
    }


def pooled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean and worst over keys of each level and number of records."""
    cells: list[dict[str, Any]] = []
    for level, count in dict.fromkeys((row["public"], row["records"]) for row in rows):
        own = [row for row in rows if (row["public"], row["records"]) == (level, count)]
        cell: dict[str, Any] = {"public": level, "records": count, "keys": len(own)}
        for name in ("permutation", "centred_cosine", "r2", "retrieval"):
            values = [row[name] for row in own]
            cell[name] = {"mean": round(float(np.mean(values)), 4), "worst_key": min(values)}
        cell["chance"] = own[0]["chance"]
        cell["seconds"] = round(float(np.mean([row["seconds"] for row in own])), 1)
        cells.append(cell)
    return cells


if __name__ == "__main__":
    main()
