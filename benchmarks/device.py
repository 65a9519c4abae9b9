"""Time of all that a device does with a photograph: open, detect, align, front, encode.

    python benchmarks/device.py [--photos ../shared/data/raw_photos] [--count 60]

Writes benchmarks/results/device.json. One thread. The weights of the fronts
are drawn, not trained: the time is the same.
Photographs are those of ORL, of `--photos` where they are, and one of these made 12 megapixels.
Time on the clock tells what the rest of the machine did too; time of the processor does not.
"""

import argparse
import io
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from xnn.demo.orl import find_orl
from xnn.device.bundle import load_detector, load_device_bundle
from xnn.export.device_bundle import export_device
from xnn.extractors.catalog import load_extractor
from xnn.faces.align import align
from xnn.faces.detection.detector import FaceDetector, most_prominent
from xnn.faces.detection.mtcnn import TorchNets
from xnn.faces.photograph import Refusal, decode_photograph
from xnn.files import write_json
from xnn.keystream import KeyStream
from xnn.owner.noise.draw_key import draw_coupling
from xnn.owner.noise.finished import new_front
from xnn.owner.noise.presets import find_noise_preset
from xnn.wire.codec import encode
from xnn.wire.compose import compose

RESULTS = Path(__file__).parent / "results" / "device.json"
PRESETS = ("xnn", "paper")
TWELVE_MEGAPIXELS = (4000, 3000)
MAC_KEY = bytes(32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/raw_photos"))
    parser.add_argument("--count", type=int, default=60)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    sets = photographs(settings.photos, settings.count)
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for preset in PRESETS:
            export(Path(folder) / preset, preset, sets["orl"])
            rows += [
                {"preset": preset, "photographs": name} | measure(Path(folder) / preset, contents)
                for name, contents in sets.items()
            ]
            for row in rows[-len(sets) :]:
                print(row)
    result = {
        "command": "python benchmarks/device.py",
        "processor": platform.processor() or platform.machine(),
        "threads": 1,
        "extractor": "dlib",
        "unit": "ms for one photograph; processor_: without what other programs took",
        "load_average": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "rows": rows,
    }
    write_json(RESULTS, result)


def photographs(folder: Path, count: int) -> dict[str, list[bytes]]:
    orl = sorted(find_orl().glob("s*/1.pgm"))[:count]
    sets = {"orl": [path.read_bytes() for path in orl]}
    own = sorted(folder.glob("*.jpg"))[:count]
    if not own:
        print(f"SKIPPED: no photographs in {folder}; ORL only")
        return sets
    sets["photographs"] = [path.read_bytes() for path in own]
    with Image.open(own[0]) as image:
        large, file = image.convert("RGB").resize(TWELVE_MEGAPIXELS), io.BytesIO()
        large.save(file, "JPEG")
    return sets | {"12-megapixels": [file.getvalue()] * 10}


def export(folder: Path, preset: str, contents: list[bytes]) -> None:
    """Write a device bundle of a preset with both variants."""
    extractor = load_extractor("dlib")
    front = new_front(extractor, find_noise_preset(preset, extractor.card.shape).front).eval()
    if front.code is not None and front.coupling is not None:
        front.code.matrix.normal_(std=0.01)
        draw_coupling(front.coupling, KeyStream.fresh())
    if front.generator is not None:
        # A copy of the extractor, as it begins, would be computed once for both.
        with torch.no_grad():
            for weights in front.generator.parameters():
                weights.add_(0.01 * torch.randn_like(weights))
    detector = FaceDetector(TorchNets())
    crops = [crop for content in contents[:24] if (crop := crop_of(detector, content)) is not None]
    export_device(folder, front, extractor.card, np.stack(crops), int8=True)


def crop_of(detector: FaceDetector, content: bytes) -> np.ndarray | None:
    opened = decode_photograph(content)
    if isinstance(opened, Refusal):
        return None
    faces = detector.find(opened.rgb)
    if not len(faces):
        return None
    height, width = opened.rgb.shape[:2]
    return align(opened.rgb, faces.landmarks[most_prominent(faces, height=height, width=width)])


def measure(folder: Path, contents: list[bytes]) -> dict[str, Any]:
    """Return the time of each part, of all of them, and what was met."""
    detector, torch_detector = load_detector(folder), FaceDetector(TorchNets())
    front, small = load_device_bundle(folder), load_device_bundle(folder, int8=True)
    times: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start, used = time.perf_counter(), time.thread_time()
        value = call()
        took = 1000 * (time.perf_counter() - start), 1000 * (time.thread_time() - used)
        times.setdefault(name, []).append(took)
        return value

    found, message_bytes = 0, 0
    for number, content in enumerate([contents[0], *contents]):
        opened = timed("open", lambda content=content: decode_photograph(content))
        if isinstance(opened, Refusal):
            continue
        rgb = opened.rgb
        faces = timed("detect", lambda rgb=rgb: detector.find(rgb))
        timed("detect_with_torch", lambda rgb=rgb: torch_detector.find(rgb))
        if not len(faces):
            continue
        found += number > 0
        chosen = most_prominent(faces, height=rgb.shape[0], width=rgb.shape[1])
        crop = timed("align", lambda f=faces, c=chosen, rgb=rgb: align(rgb, f.landmarks[c]))
        records = timed("front", lambda crop=crop: front.send(crop[None]))
        timed("front_int8", lambda crop=crop: small.send(crop[None]))
        message = compose(records, scheme=front.card.scheme, bundle_id=front.card.front_id)
        message_bytes = len(timed("encode", lambda message=message: encode(message, MAC_KEY)))
        if number == 0:  # the first is slower: what is loaded on first use was loaded
            times.clear()
    parts = ("open", "detect", "align", "front", "encode")
    # Those without a face have no later parts; the first two are of as many photographs more.
    whole = np.sum([np.array(times[part])[: len(times["align"])] for part in parts], axis=0)
    return {
        "count": len(contents),
        "faces_found": found,
        "message_bytes": message_bytes,
        **{name: spread(values) for name, values in times.items()},
        "whole": spread(whole),
    }


def spread(values: Any) -> dict[str, float]:
    clock, processor = np.array(values).T
    return {
        "median_ms": round(float(np.median(clock)), 2),
        "p95_ms": round(float(np.percentile(clock, 95)), 2),
        "processor_median_ms": round(float(np.median(processor)), 2),
    }


if __name__ == "__main__":
    main()
