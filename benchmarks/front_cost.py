"""What E + LN + G costs beside E alone, on a device; the aim is 2.1 times.

    python benchmarks/front_cost.py [--rounds 30]

Writes benchmarks/results/front-cost.json. One thread, ONNX as a device runs it and torch beside it,
one crop at a time, by turns: E alone, then each front, again and again, so that what else the
machine does meets all of them alike. The ratio is of the medians; `low` and `high` are the 5th and
95th percentile of the ratios of single rounds. Weights of fronts are drawn, not trained: the time
is the same. `paper-shared-N` is the paper's G that shares N lower blocks with E, for comparison.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from xnn.device.bundle import open_session
from xnn.errors import MissingExtraError
from xnn.export.device_bundle import write_front
from xnn.export.onnx_file import write_onnx
from xnn.export.whole_front import WholeFront
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.files import write_json
from xnn.keystream import KeyStream
from xnn.models.noise_generator import FrontSettings
from xnn.owner.noise.draw_key import draw_coupling
from xnn.owner.noise.finished import new_front
from xnn.owner.noise.presets import find_noise_preset

RESULTS = Path(__file__).parent / "results" / "front-cost.json"
EXTRACTORS = ("dlib", "vit-s14")
SHARED = {"dlib": 11, "vit-s14": 3}
"""Lower blocks of the variant with a shared bottom: about half of each."""
Runs = dict[str, Callable[[], Any]]


class Alone(nn.Module):
    """E without its layer norm: crops in, tokens out."""

    def __init__(self, whole: WholeFront) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, crops: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b n d"]:
        """Return E's tokens."""
        front = self.whole.front
        tokens: Tensor = front.upper(front.lower(self.whole.prepare(crops)))
        return tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rows = []
    for name in EXTRACTORS:
        try:
            extractor = load_extractor(name)
        except MissingExtraError as error:
            print(f"SKIPPED {name}: {error}")
            continue
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            rows += measure(extractor, Path(folder), rounds)
    result = {
        "command": f"python benchmarks/front_cost.py --rounds {rounds}",
        "processor": platform.processor() or platform.machine(),
        "threads": 1,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "unit": "ms of the processor for one crop; ratio to E alone, by turns in one run",
        "rows": rows,
    }
    write_json(RESULTS, result)
    for row in rows:
        print(row)


def measure(extractor: Extractor, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each front and each way to run it."""
    fronts = {name: whole_front(extractor, settings) for name, settings in asked(extractor).items()}
    crop = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3), dtype=np.uint8)
    given = torch.from_numpy(crop)
    rows = []
    for way, runs in (
        ("onnx", onnx_runs(fronts, crop, folder)),
        ("torch", torch_runs(fronts, given)),
    ):
        times = by_turns(runs, rounds)
        alone = times.pop("alone")
        for name, taken in times.items():
            ratios = taken / alone
            rows.append(
                {
                    "extractor": extractor.card.name,
                    "front": name,
                    "way": way,
                    "alone_ms": round(float(np.median(alone)), 2),
                    "front_ms": round(float(np.median(taken)), 2),
                    "ratio": round(float(np.median(taken) / np.median(alone)), 3),
                    "low": round(float(np.percentile(ratios, 5)), 3),
                    "high": round(float(np.percentile(ratios, 95)), 3),
                    "rounds": rounds,
                }
            )
    return rows


def asked(extractor: Extractor) -> dict[str, FrontSettings]:
    """Return the fronts that are timed."""
    shape, shared = extractor.card.shape, SHARED[extractor.card.name]
    paper = find_noise_preset("paper", shape).front
    return {
        "plain": find_noise_preset("plain", shape).front,
        "paper": paper,
        f"paper-shared-{shared}": replace(paper, shared_blocks=shared),
        "xnn": find_noise_preset("xnn", shape).front,
    }


def whole_front(extractor: Extractor, settings: FrontSettings) -> WholeFront:
    """Return an untrained front whose G differs from E, so that neither is computed for both."""
    front = new_front(extractor, settings).eval()
    if front.code is not None and front.coupling is not None:
        front.code.matrix.normal_(std=0.01)
        draw_coupling(front.coupling, KeyStream.fresh())
    if front.generator is not None:
        for weights in front.generator.parameters():
            weights.add_(0.01 * torch.randn_like(weights))
    return WholeFront(front, extractor.card).eval()


def fresh_of(whole: WholeFront) -> Tensor | None:
    """Return the random numbers that one z takes."""
    front = whole.front
    return torch.randn(1, *front.fresh_shape) if front.is_random else None


def torch_runs(fronts: dict[str, WholeFront], given: Tensor) -> Runs:
    """Return what runs each network in torch."""
    alone = Alone(fronts["plain"]).eval()
    runs: Runs = {"alone": lambda: alone(given)}
    for name, whole in fronts.items():
        runs[name] = partial(whole, given, fresh_of(whole))
    return runs


def onnx_runs(fronts: dict[str, WholeFront], crop: np.ndarray, folder: Path) -> Runs:
    """Write each network as ONNX and return what runs it as a device does."""
    given = {"crops": torch.zeros(2, 112, 112, 3, dtype=torch.uint8)}
    axes = {"crops": {0: "b"}, "tokens": {0: "b"}}
    path = folder / "alone.onnx"
    write_onnx(path, Alone(fronts["plain"]).eval(), given, ["tokens"], open_axes=axes)
    first = open_session(path)
    runs: Runs = {"alone": lambda: first.run(None, {"crops": crop})}
    for name, whole in fronts.items():
        write_front(folder / f"{name}.onnx", whole)
        session, inputs = open_session(folder / f"{name}.onnx"), {"crops": crop}
        fresh = fresh_of(whole)
        if fresh is not None:
            inputs["fresh"] = fresh.numpy()
        runs[name] = partial(session.run, None, inputs)
    return runs


def by_turns(runs: Runs, rounds: int) -> dict[str, np.ndarray]:
    """Return the time of each, round by round, in milliseconds of this thread."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 3):
        for name, call in runs.items():
            start = time.thread_time()
            call()
            if number >= 3:  # what is loaded on first use was loaded
                times[name].append(1000 * (time.thread_time() - start))
    return {name: np.array(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
