"""What each scheme costs beside the extractor: share of its time, and bytes of a record.

    python benchmarks/obfuscation.py --faces FACES/celeba --extractor dlib

Writes benchmarks/results/obfuscation-EXTRACTOR.json. Every round runs the extractor, then each
scheme, on the same batches, so that a machine whose speed drifts moves all; medians over rounds.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from xnn.extractors.catalog import load_extractor
from xnn.faces.crop import read_crops
from xnn.faces.dataset import load_faces
from xnn.files import write_json
from xnn.schemes import SCHEMES, KeyStream, Obfuscator
from xnn.shards.records import STORAGE, check_record_type, record_bytes
from xnn.types import TokenShape

RESULTS = Path(__file__).parent / "results"
BATCH = 64


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--extractor", default="dlib")
    parser.add_argument("--crops", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not options.faces.is_dir():
        sys.exit(f"SKIPPED: {options.faces} is not there; nothing was measured")
    samples = load_faces(options.faces).samples[: options.crops]
    crops = torch.from_numpy(read_crops([sample.path for sample in samples]))
    content = {
        "command": f"python benchmarks/obfuscation.py --extractor {options.extractor} "
        f"--crops {options.crops} --rounds {options.rounds}",
        "threads": torch.get_num_threads(),
        **measure(options.extractor, crops, options.rounds),
    }
    write_json(RESULTS / f"obfuscation-{options.extractor}.json", content)


def measure(name: str, crops: torch.Tensor, rounds: int) -> dict[str, Any]:
    """Measure every scheme; what reads crops stands in the extractor's place."""
    extractor = load_extractor(name)
    shape, batches = extractor.card.shape, crops.split(BATCH)
    first = torch.cat([extractor.tokens(batch) for batch in batches]).numpy()
    bound: dict[str, Obfuscator] = {
        scheme.card.name: scheme.fit(first).bind(shape, KeyStream.fresh())
        for scheme in SCHEMES.values()
    }
    extract_s: list[float] = []
    spent: dict[str, list[float]] = {scheme: [] for scheme in bound}
    for _ in range(rounds):
        start = time.perf_counter()
        tokens = [extractor.tokens(batch) for batch in batches]
        extract_s.append(time.perf_counter() - start)
        for scheme, obfuscator in bound.items():
            start = time.perf_counter()
            for batch in tokens if obfuscator.reads == "features" else batches:
                obfuscator.obfuscate(batch)
            spent[scheme].append(time.perf_counter() - start)
    return {
        "extractor": name,
        "crops": len(crops),
        "rounds": rounds,
        "extractor_ms_per_crop": 1000 * statistics.median(extract_s) / len(crops),
        "rows": [
            {
                "scheme": scheme,
                "ms_per_record": 1000 * statistics.median(seconds) / len(crops),
                "share": statistics.median(o / e for o, e in zip(seconds, extract_s, strict=True)),
                "shape": str(bound[scheme].record_shape),
                "bytes": sizes(bound[scheme].record_shape),
            }
            for scheme, seconds in spent.items()
        ],
    }


def sizes(record: TokenShape) -> dict[str, int]:
    """Return the bytes of a record in every type that it can be stored in."""
    return {kind: record_bytes(record.n, record.d, check_record_type(kind)) for kind in STORAGE}


if __name__ == "__main__":
    main()
