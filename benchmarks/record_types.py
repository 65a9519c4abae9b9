"""What smaller records cost in rank-1: the same key, split and seed, stored in each type.

    python benchmarks/record_types.py --faces FACES/celeba --out FILE

Differences are against float32, with the interval of the paired bootstrap over subjects.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from xnn.bench.features import FeatureTable
from xnn.bench.utility import UtilitySettings, train_and_test
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.files import write_json
from xnn.schemes import KeyStream, find_scheme
from xnn.shards.records import STORAGE, record_bytes
from xnn.training.presets import adamw, adamw_tail


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if not options.faces.is_dir():
        sys.exit(f"SKIPPED: {options.faces} is not there; nothing was measured")
    faces, extractor = load_faces(options.faces), load_extractor("dlib")
    card = extractor.card
    features = FeatureTable(faces, extractor)
    settings = UtilitySettings(
        train=adamw(), tail=adamw_tail(card.n, card.d), split=SplitSettings(), mirror=False
    )
    found: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in STORAGE}
    for seed in range(options.seeds):
        split = split_faces(faces, replace(settings.split, seed=seed))
        obfuscator = find_scheme("paper").bind(card.shape, KeyStream.fresh())
        for name in STORAGE:
            changed = replace(settings, record_type=name)
            measured, _ = train_and_test(split, features, obfuscator, changed, seed)
            rank_1 = next(m for m in measured if m.metric == "rank_1").bootstrap
            found[name].append((rank_1.value, rank_1.replicates))
            print(name, seed, round(rank_1.value, 4), flush=True)
    rows = [row(name, found, record_bytes(card.n, card.d, name)) for name in STORAGE]
    result = {"threads": torch.get_num_threads(), "seeds": options.seeds, "rows": rows}
    write_json(options.out, {"command": "python benchmarks/record_types.py", **result})


def row(
    name: str, found: dict[str, list[tuple[float, np.ndarray]]], size: int
) -> dict[str, object]:
    """Return rank-1 of one type and its difference to float32."""
    pairs = list(zip(found[name], found["float32"], strict=True))
    replicates = np.concatenate([mine[1] - other[1] for mine, other in pairs])
    low, high = np.quantile(replicates, [0.025, 0.975])
    return {
        "record_type": name,
        "bytes_per_record": size,
        "rank_1": float(np.mean([value for value, _ in found[name]])),
        "difference": float(np.mean([mine[0] - other[0] for mine, other in pairs])),
        "low": float(low),
        "high": float(high),
    }


if __name__ == "__main__":
    main()
