"""The nets of MTCNN from three ONNX files: what a device runs, without torch."""

from typing import Any, Protocol, cast, final, runtime_checkable

import numpy as np
from jaxtyping import Float32

from xnn.faces.detection.nets import Judged, Placed

PROPOSAL_NAME = "detector-proposal.onnx"
REFINEMENT_NAME = "detector-refinement.onnx"
LANDMARK_NAME = "detector-landmark.onnx"
DETECTOR_NAMES = (PROPOSAL_NAME, REFINEMENT_NAME, LANDMARK_NAME)
NOTICE_NAME = "detector-NOTICE.txt"
"""Licence of the weights; it has to lie beside every copy of them."""

INPUT_NAME = "pixels"
OUTPUT_NAMES = ("face", "offsets", "points")
"""Of each file, in this order; only the last net has points."""


@runtime_checkable
class Session(Protocol):
    """What is used of an `onnxruntime.InferenceSession`."""

    def run(self, names: None, given: dict[str, Any], /) -> Any:
        """Return the outputs in their order."""
        ...


@final
class OnnxNets:
    """See `DetectorNets`.

    Args:
        proposal: Open session of each file.
        refinement: The second.
        landmark: The third.
    """

    def __init__(self, proposal: Session, refinement: Session, landmark: Session) -> None:
        self._proposal, self._refinement, self._landmark = proposal, refinement, landmark

    def propose(self, image: Float32[np.ndarray, "1 3 h w"]) -> Judged:
        """See `DetectorNets`."""
        return cast(Judged, tuple(self._proposal.run(None, {INPUT_NAME: image})))

    def refine(self, patches: Float32[np.ndarray, "b 3 24 24"]) -> Judged:
        """See `DetectorNets`."""
        return cast(Judged, tuple(self._refinement.run(None, {INPUT_NAME: patches})))

    def place(self, patches: Float32[np.ndarray, "b 3 48 48"]) -> Placed:
        """See `DetectorNets`."""
        return cast(Placed, tuple(self._landmark.run(None, {INPUT_NAME: patches})))
