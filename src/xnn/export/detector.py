"""The face detector as three ONNX files, each checked against torch on real crops.

Trust: owner. The files go to the device, and to a browser that plays one.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from xnn.device.bundle import open_session
from xnn.errors import CorruptError
from xnn.export.onnx_file import write_onnx
from xnn.faces.detection.area import AreaSampler
from xnn.faces.detection.mtcnn import WEIGHTS_PATH, TorchNets, load_mtcnn
from xnn.faces.detection.nets import LANDMARK_PX, REFINE_PX
from xnn.faces.detection.onnx_nets import (
    DETECTOR_NAMES,
    INPUT_NAME,
    LANDMARK_NAME,
    NOTICE_NAME,
    OUTPUT_NAMES,
    PROPOSAL_NAME,
    REFINEMENT_NAME,
    OnnxNets,
)

TOLERANCE = 1e-4
"""Of probabilities and of offsets in sides of a box."""
_CHECKED_CROPS = 16
_LEVELS_PX = ((40, 52), (63, 31))
"""Sizes on which the proposal net is compared: even, odd, neither square."""


def export_detector(folder: Path, crops: UInt8[np.ndarray, "b 112 112 3"]) -> float:
    """Write the three nets of MTCNN and the licence of their weights.

    Args:
        folder: Exists.
        crops: Real ones, to compare on.

    Returns:
        The largest difference met.

    Raises:
        CorruptError: ONNX and torch differ by more than the tolerance.
        MissingExtraError: onnx or onnxruntime is not installed.
        StorageError: The disk refused.
    """
    nets = load_mtcnn()
    scan = {0: "b", 2: "y", 3: "x"}
    write_onnx(
        folder / PROPOSAL_NAME,
        nets.proposal,
        {INPUT_NAME: torch.zeros(1, 3, *_LEVELS_PX[0])},
        OUTPUT_NAMES[:2],
        open_axes={
            INPUT_NAME: {0: "b", 2: "h", 3: "w"},
            "face": {0: "b", 1: "y", 2: "x"},
            "offsets": scan,
        },
    )
    for name, net, size, outputs in (
        (REFINEMENT_NAME, nets.refinement, REFINE_PX, OUTPUT_NAMES[:2]),
        (LANDMARK_NAME, nets.landmark, LANDMARK_PX, OUTPUT_NAMES),
    ):
        write_onnx(
            folder / name,
            net,
            {INPUT_NAME: torch.zeros(2, 3, size, size)},
            outputs,
            open_axes={part: {0: "b"} for part in (INPUT_NAME, *outputs)},
        )
    shutil.copyfile(WEIGHTS_PATH.with_name("NOTICE.txt"), folder / NOTICE_NAME)
    return _difference(folder, TorchNets(nets), crops[:_CHECKED_CROPS])


def _difference(folder: Path, torch_nets: TorchNets, crops: np.ndarray) -> float:
    onnx_nets = OnnxNets(*(open_session(folder / name) for name in DETECTOR_NAMES))
    boxes = np.array([[0, 0, 112, 112], [20, 30, 92, 102], [-10, 5, 60, 75]])
    differences = []
    for crop in crops:
        sampler = AreaSampler(crop)
        for height, width in _LEVELS_PX:
            level = sampler.whole(height=height, width=width)
            differences += _apart(torch_nets.propose(level), onnx_nets.propose(level))
        small, large = (sampler.patches(boxes, size=size) for size in (REFINE_PX, LANDMARK_PX))
        differences += _apart(torch_nets.refine(small), onnx_nets.refine(small))
        differences += _apart(torch_nets.place(large), onnx_nets.place(large))
    away = max(differences, default=0.0)
    if not away <= TOLERANCE:
        raise CorruptError(
            f"the exported detector differs from torch by {away:.2g}, more than {TOLERANCE:g}; "
            "export with the torch that pyproject.toml names"
        )
    return away


def _apart(wanted: tuple[np.ndarray, ...], found: tuple[np.ndarray, ...]) -> list[float]:
    return [float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True)]
