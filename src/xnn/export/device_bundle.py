"""From a trained front to a device bundle: ONNX files, checked against torch on real crops.

Trust: owner. The bundle that comes out goes to the device.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from xnn.device.bundle import finish_device_bundle, open_session
from xnn.device.card import CARD_NAME, INT8_NAME, MODEL_NAME, DeviceCard
from xnn.errors import CorruptError
from xnn.export.detector import export_detector
from xnn.export.int8 import quantise
from xnn.export.onnx_file import write_onnx
from xnn.export.whole_front import WholeFront, front_digest
from xnn.extractors.card import ExtractorCard
from xnn.files import disk_errors
from xnn.models.noise_generator import FrontSettings, NoisyFront

TOLERANCE = 1e-3
"""Of z, over its root mean square. A coupled z is compared after the server has opened it, since
its rounds multiply every difference on purpose."""
_MEASURED_CROPS = 32


def export_device(
    folder: Path,
    front: NoisyFront,
    card: ExtractorCard,
    crops: UInt8[np.ndarray, "b 112 112 3"],
    *,
    int8: bool = False,
) -> DeviceCard:
    """Write a device bundle.

    Args:
        folder: Made if missing; a bundle in it is replaced.
        front: Trained, in eval mode.
        card: Of the extractor in it.
        crops: Real ones, to check the export on and to choose the ranges of int8 by.
        int8: Write the small variant too.

    Returns:
        The card, with the largest difference met, latencies and sizes.

    Raises:
        CorruptError: ONNX and torch differ by more than the tolerance.
        MissingExtraError: onnx or onnxruntime is not installed.
        StorageError: The disk refused.

    Trust: owner.
    """
    with disk_errors("make the folder of the bundle", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (CARD_NAME, INT8_NAME):
            (folder / name).unlink(missing_ok=True)
    whole = WholeFront(front, card).eval()
    write_front(folder / MODEL_NAME, whole)
    measured = _measure(folder, whole, card, crops)
    if int8:
        quantise(folder / MODEL_NAME, folder / INT8_NAME, _given(crops, _fresh(front, len(crops))))
        measured |= {f"int8_{n}": v for n, v in _compare(folder / INT8_NAME, whole, crops).items()}
    measured["detector_difference"] = export_detector(folder, crops)
    made = DeviceCard(
        front_id=front_digest(front),
        extractor=card.to_dict(),
        extractor_digest=card.digest(),
        front=front.settings.to_dict(),
        m=front.sent_shape.n,
        e=front.sent_shape.d,
        fresh_shape=list(front.fresh_shape),
        tolerance=TOLERANCE,
        measured={name: float(f"{value:.4g}") for name, value in measured.items()},
    )
    finish_device_bundle(folder, made)
    return made


def _measure(
    folder: Path, whole: WholeFront, card: ExtractorCard, crops: np.ndarray
) -> dict[str, float]:
    """Return what is told of the export, or refuse it."""
    measured = _compare(folder / MODEL_NAME, whole, crops)
    if not measured["difference"] <= TOLERANCE:
        raise CorruptError(
            f"the exported front differs from torch by {measured['difference']:.2g} of the root "
            f"mean square, more than {TOLERANCE:g}; export with the torch that pyproject.toml names"
        )
    return measured | {"cost_ratio": cost_ratio(whole, card, crops)}


def cost_ratio(whole: WholeFront, card: ExtractorCard, crops: np.ndarray) -> float:
    """Return the time of the front over that of the extractor alone: the least, by turns."""
    front = whole.front
    settings = FrontSettings(noise="none", shared_blocks=front.settings.shared_blocks)
    alone = WholeFront(NoisyFront(front.lower, front.upper, front.shape, settings), card).eval()
    given, times = torch.from_numpy(crops[:16]), {"front": [0.0], "alone": [0.0]}
    fresh = _fresh(front, len(given))
    with torch.no_grad():
        for _ in range(5):
            start = time.perf_counter()
            whole(given, fresh)
            middle = time.perf_counter()
            alone(given)
            times["front"].append(middle - start)
            times["alone"].append(time.perf_counter() - middle)
    # Other work on the machine only ever adds to a time.
    return float(np.min(times["front"][2:]) / np.min(times["alone"][2:]))


def write_front(path: Path, whole: WholeFront) -> None:
    """Write the network; the number of crops in a batch stays open."""
    front = whole.front
    given = {"crops": torch.zeros(2, 112, 112, 3, dtype=torch.uint8)}
    if front.is_random:
        given["fresh"] = torch.zeros(2, *front.fresh_shape)
    write_onnx(path, whole, given, ["z"], open_axes={name: {0: "b"} for name in [*given, "z"]})


def _compare(path: Path, whole: WholeFront, crops: np.ndarray) -> dict[str, float]:
    """Return the largest difference over the root mean square, the time of a crop, and the size."""
    crops = crops[:_MEASURED_CROPS]
    fresh = _fresh(whole.front, len(crops))
    session = open_session(path)
    (found,) = session.run(None, _given(crops, fresh))
    with torch.no_grad():
        wanted, got = whole(torch.from_numpy(crops), fresh), torch.from_numpy(found)
        opener = whole.front.opener()
        if opener is not None:
            wanted, got = opener(wanted), opener(got)
    away = float((got - wanted).abs().max() / wanted.square().mean().sqrt())
    one = _given(crops[:1], None if fresh is None else fresh[:1])
    times = []
    for _ in range(5):
        start = time.perf_counter()
        session.run(None, one)
        times.append(time.perf_counter() - start)
    return {
        "difference": away,
        "latency_ms": 1000 * float(np.median(times)),
        "size_bytes": float(path.stat().st_size),
    }


def _fresh(front: NoisyFront, num: int) -> Tensor | None:
    """Return random numbers for the comparison only: both sides must get the same."""
    if not front.is_random:
        return None
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num, *front.fresh_shape, generator=generator)


def _given(crops: np.ndarray, fresh: Tensor | None) -> dict[str, Any]:
    given: dict[str, Any] = {"crops": crops}
    return given if fresh is None else given | {"fresh": fresh.numpy()}
