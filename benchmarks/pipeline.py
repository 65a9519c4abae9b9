"""What obfuscation, building and feeding cost beside the extractor: ratios within one run.

    python benchmarks/pipeline.py --faces FACES/celeba --out benchmarks/results/pipeline.json

Each round measures the bare extractor, obfuscation and a whole `build_shards` in turn on the same
crops, so that a machine whose speed drifts moves all three. The median over rounds is reported.
A build has fixed costs of a third of a second (key, plan, flushing): give it thousands of crops.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from xnn.cloud.job import run_job
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crops
from xnn.faces.dataset import FaceSet, load_faces
from xnn.files import write_json
from xnn.owner.binding import scope_of
from xnn.owner.build import build_shards
from xnn.owner.plan import BuildSettings
from xnn.schemes import KeyStream, find_scheme
from xnn.secret import KeyFile, SecretKey
from xnn.training.presets import adamw

BATCH = 64


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--extractor", default="dlib")
    parser.add_argument("--crops", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if not options.faces.is_dir():
        sys.exit(f"SKIPPED: {options.faces} is not there; nothing was measured")
    faces = load_faces(options.faces)
    faces = FaceSet(name=faces.name, samples=faces.samples[: options.crops])
    rows = [measure(options.extractor, faces, options.rounds)]
    command = (
        f"python benchmarks/pipeline.py --extractor {options.extractor} --crops {options.crops}"
    )
    result = {"command": command, "threads": torch.get_num_threads(), "rows": rows}
    write_json(options.out, result)
    for row in rows:
        print(row)


def measure(name: str, faces: FaceSet, rounds: int) -> dict[str, object]:
    """Measure one extractor."""
    extractor = load_extractor(name)
    crops = torch.from_numpy(read_crops([sample.path for sample in faces.samples]))
    obfuscator = find_scheme("paper").bind(extractor.card.shape, KeyStream.fresh())
    extract_s, obfuscate_s, build_s = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        keyfile = make_key(Path(folder) / "owner.key", extractor)
        for round_ in range(rounds + 1):
            start = time.perf_counter()
            tokens = [extractor.tokens(batch) for batch in crops.split(BATCH)]
            middle = time.perf_counter()
            for batch in tokens:
                obfuscator.obfuscate(batch)
            end = time.perf_counter()
            shards = Path(folder) / f"shards-{round_}"
            build_shards(faces, extractor, keyfile, shards, BuildSettings(batch_size=BATCH))
            built = time.perf_counter()
            if round_:  # the first round warms up
                extract_s.append(middle - start)
                obfuscate_s.append(end - middle)
                build_s.append(built - end)
        job = run_job(shards, Path(folder) / "run", adamw(epochs=3))
        waits = [epoch.data_wait_share for epoch in job.fit.history]
    return {
        "extractor": name,
        "crops": len(crops),
        "rounds": rounds,
        "extractor_ms_per_crop": 1000 * statistics.median(extract_s) / len(crops),
        "obfuscation_share": statistics.median(
            o / e for o, e in zip(obfuscate_s, extract_s, strict=True)
        ),
        "build_throughput_share": statistics.median(
            e / b for e, b in zip(extract_s, build_s, strict=True)
        ),
        "trainer_data_wait_share": statistics.mean(waits),
    }


def make_key(path: Path, extractor: Extractor) -> KeyFile:
    """Make a throw-away key."""
    card = extractor.card
    scope = scope_of(card, dataset="benchmark", scheme="paper")
    key = SecretKey.generate(scope)
    return KeyFile.create(path, key, "benchmark", extractor=card.to_dict(), log2_n=10)


if __name__ == "__main__":
    main()
