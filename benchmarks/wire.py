"""What messages cost and carry: bytes for each face, scores by dtype, thresholds on new people.

    python benchmarks/wire.py --faces ../shared/data/celeba [--presets plain,gaussian,xnn]
        [--sizes-only paper]

Each preset is trained, parted into its two bundles and measured. The game of `paper` takes hours on
a CPU: of presets named by --sizes-only no more is told than what their messages take. Thresholds
come from the validation people; the test people, whom nothing has seen, say whether they hold.
Writes benchmarks/results/wire.json; `table.py` makes the tables.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xnn.device.bundle import load_device_bundle
from xnn.export.parting import part_run
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.metrics import Comparisons, all_pairs_scores
from xnn.owner.build import read_samples
from xnn.owner.evaluate import number_subjects
from xnn.owner.noise.finished import new_front
from xnn.owner.noise.presets import find_noise_preset
from xnn.owner.noise.stages import train_noise
from xnn.server.bundle import ServerBundle, load_server_bundle
from xnn.wire import DTYPES, WireDtype, WireLimits, compose, decode, encode, mac_key

RESULTS = Path(__file__).parent / "results" / "wire.json"
KEY = mac_key(bytes(32))
_MANY = 16
"""Records of the larger message."""
_ROUNDS = 50


def message_costs(sent: np.ndarray, scheme: str, dtype: WireDtype) -> dict[str, float]:
    """Return sizes of messages, and times to make and read one, on this machine."""

    def made(count: int) -> bytes:
        return encode(compose(sent[:count], scheme=scheme, bundle_id="ab" * 32, dtype=dtype), KEY)

    content, limits = made(1), WireLimits()
    times: dict[str, list[float]] = {"encode": [], "decode": []}
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        made(1)
        middle = time.perf_counter()
        decode(content, KEY, limits=limits)
        times["encode"].append(middle - start)
        times["decode"].append(time.perf_counter() - middle)
    return {
        "bytes_of_one": len(content),
        "bytes_of_each_of_many": len(made(_MANY)) / _MANY,
        **{f"{name}_ms": round(1000 * float(np.median(t)), 3) for name, t in times.items()},
    }


def all_costs(sent: np.ndarray, scheme: str) -> dict[WireDtype, dict[str, float]]:
    """Return the costs of every dtype that can hold these records."""
    on_circle = bool(((sent >= 0) & (sent <= 1)).all())
    return {
        dtype: message_costs(sent, scheme, dtype)
        for dtype in DTYPES
        if dtype != "fixed32" or on_circle
    }


def embed(server: ServerBundle, sent: np.ndarray, scheme: str, dtype: WireDtype) -> np.ndarray:
    """Return what a service makes of records that came as messages."""
    limits, parts = WireLimits(), []
    for start in range(0, len(sent), _MANY):
        message = compose(
            sent[start : start + _MANY], scheme=scheme, bundle_id="ab" * 32, dtype=dtype
        )
        records = decode(encode(message, KEY), KEY, limits=limits).records
        parts.append(server.embed(torch.from_numpy(records)).numpy())
    return np.concatenate(parts)


def held(server: ServerBundle, pairs: Comparisons) -> list[dict[str, float]]:
    """Return for each threshold of the card what it does on people that nothing has seen."""
    calibration = server.card.calibration
    return [
        {
            "far": point.far,
            "threshold": round(point.threshold, 4),
            "val_far_low": round(point.far_low, 6),
            "val_far_high": round(point.far_high, 6),
            "val_tar": round(point.tar, 4),
            "test_far": round(float(np.mean(pairs.non_mated >= point.threshold)), 6),
            "test_tar": round(float(np.mean(pairs.mated >= point.threshold)), 4),
        }
        for point in (() if calibration is None else calibration.thresholds)
    ]


def measure(preset: str, faces: FaceSet, extractor: Extractor, root: Path) -> dict[str, Any]:
    """Train, part and measure one preset."""
    settings = find_noise_preset(preset, extractor.card.shape)
    start = time.perf_counter()
    run = train_noise(faces, extractor, settings, root / "run")
    parted = part_run(run, extractor, faces, device=root / "device", server=root / "server")
    front, server = load_device_bundle(root / "device"), load_server_bundle(root / "server")
    test = faces.only("test_by_person").samples
    sent = np.concatenate([front.send(crops) for crops in read_samples(test)])
    exact: WireDtype = "fixed32" if parted.server.coupling else "float32"
    pairs = all_pairs_scores(embed(server, sent, preset, exact), number_subjects(test))
    card, calibration = parted.server, parted.server.calibration
    return {
        "preset": preset,
        "m": card.m,
        "e": card.e,
        "messages": all_costs(sent, preset),
        "dtypes": list(card.dtypes),
        "dtype_tolerance": card.dtype_tolerance,
        "dtype_changes": card.dtype_changes,
        "val": None
        if calibration is None
        else {
            "subjects": calibration.subjects,
            "images": calibration.images,
            "non_mated": calibration.non_mated,
        },
        "test": {
            "subjects": len({sample.subject for sample in test}),
            "images": len(test),
            "non_mated": len(pairs.non_mated),
        },
        "thresholds": held(server, pairs),
        "wall_s": round(time.perf_counter() - start, 1),
    }


def sizes(preset: str, extractor: Extractor) -> dict[str, Any]:
    """Return what messages take, without training anything."""
    shape = new_front(extractor, find_noise_preset(preset, extractor.card.shape).front).sent_shape
    numbers = np.random.default_rng(0).normal(size=(_MANY, shape.n, shape.d)).astype(np.float32)
    costs = all_costs(numbers, preset)
    return {"preset": preset, "m": shape.n, "e": shape.d, "messages": costs, "thresholds": []}


def main() -> int:
    """Measure and write; presets measured before and not asked for now stay."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faces", type=Path, default=Path("../shared/data/celeba"))
    options.add_argument("--extractor", default="dlib")
    options.add_argument("--presets", default="plain,gaussian,xnn")
    options.add_argument("--sizes-only", default="paper")
    chosen = options.parse_args()
    if not chosen.faces.is_dir():
        print(f"SKIPPED: no faces in {chosen.faces}; nothing was measured", file=sys.stderr)
        return 0
    torch.set_num_threads(1)
    extractor = load_extractor(chosen.extractor)
    faces = split_faces(load_faces(chosen.faces), SplitSettings())
    rows: dict[str, Any] = {}
    if RESULTS.is_file():
        rows = {row["preset"]: row for row in json.loads(RESULTS.read_text())["rows"]}
    for preset in filter(None, chosen.sizes_only.split(",")):
        rows[preset] = sizes(preset, extractor)
    for preset in filter(None, chosen.presets.split(",")):
        root = Path(tempfile.mkdtemp())
        try:
            rows[preset] = measure(preset, faces, extractor, root)
        finally:
            shutil.rmtree(root)
        print(json.dumps(rows[preset]))
    facts = {"faces": faces.name, "extractor": chosen.extractor, "many": _MANY}
    RESULTS.write_text(json.dumps(facts | {"rows": list(rows.values())}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
