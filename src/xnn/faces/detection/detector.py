"""Find faces in a photograph: the MTCNN cascade, and which face is meant."""

from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from PIL import Image

from xnn.errors import ConfigError
from xnn.faces.detection.area import AreaSampler
from xnn.faces.detection.nets import (
    CELL_PX,
    LANDMARK_PX,
    REFINE_PX,
    STRIDE_PX,
    DetectorNets,
)

_PROPOSAL_THRESHOLD = 0.6
_REFINEMENT_THRESHOLD = 0.7
_PYRAMID_STEP = 0.709  # sides shrink by this factor: areas halve
_LARGEST_LEVEL_PX = 640  # longest side on which the proposal net runs
_LARGEST_WORK_PX = 2048  # longest side on which anything runs
_MOST_PROPOSALS = 1000  # best kept after proposing: bounds time on hostile textures
_CENTRALITY = 6  # a face in the corner needs four times the area of one in the middle
_DOUBT = 0.05  # a face whose score is lower than the best by more is not chosen
_SMALL_PX = 200  # a photograph with a shorter side is looked at in twice its size
_WIDTH_MARGIN = 0.43  # of the width, added on each side when a face may fill the frame
_HEIGHT_MARGIN = 0.27  # of the height, above and below


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSettings:
    """How eager the detector is."""

    threshold: float = 0.9
    """Least score of a face, in (0, 1]; higher finds fewer faces and fewer mistakes."""

    min_face_px: int = 20
    """Side of the smallest face looked for, in pixels of the photograph; 12 or more."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold={self.threshold:g} is not a score in (0, 1]")
        if self.min_face_px < CELL_PX:
            raise ConfigError(f"min_face_px={self.min_face_px}: expected {CELL_PX} or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """Faces found in one photograph, best score first, in its pixels.

    A point (x, y) counts from the outer corner of the top left pixel, x to the right.
    """

    boxes: Float[np.ndarray, "faces 4"]
    """Left, top, right, bottom; may reach outside the photograph."""

    scores: Float[np.ndarray, " faces"]
    """In 0..1."""

    landmarks: Float[np.ndarray, "faces 5 2"]
    """Left and right eye as seen, nose, left and right corner of the mouth."""

    def __len__(self) -> int:
        return len(self.scores)


@final
class FaceDetector:
    """MTCNN on the processor, in float32.

    Args:
        nets: `TorchNets` of `mtcnn.py`, or `OnnxNets` where torch is not.
        settings: The usual ones if left out.

    Source: arXiv:1604.02878.
    Trust: owner and device. Reads faces.
    """

    def __init__(self, nets: DetectorNets, settings: DetectionSettings | None = None) -> None:
        self.settings = settings or DetectionSettings()
        self._nets = nets

    def find(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Faces:
        """Find the faces of a photograph, also when one fills the frame or it is very small.

        Args:
            rgb: Upright photograph of any size, 0..255.

        Returns:
            All faces that reach the threshold; none is an answer, not an error.
        """
        small = min(rgb.shape[:2]) < _SMALL_PX
        attempts = (
            (self._detect_padded, self.detect) if small else (self.detect, self._detect_padded)
        )
        faces = attempts[0](rgb)
        return faces if len(faces) else attempts[1](rgb)

    def detect(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Faces:
        """Run the cascade once, on the photograph as it is."""
        return self._cascade(rgb, float(self.settings.min_face_px))

    def _cascade(self, rgb: UInt8[np.ndarray, "h w 3"], min_face_px: float) -> Faces:
        longest = max(rgb.shape[:2])
        if longest > _LARGEST_WORK_PX:
            shrink = _LARGEST_WORK_PX / longest
            faces = self._cascade(_resized(rgb, shrink), min_face_px * shrink)
            return replace(faces, boxes=faces.boxes / shrink, landmarks=faces.landmarks / shrink)
        sampler = AreaSampler(rgb)
        boxes = self._propose(sampler, min_face_px)
        boxes = self._refine(sampler, boxes)
        return self._place(sampler, boxes)

    def _detect_padded(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Faces:
        """Run the cascade with the edges drawn out, and on a small photograph at twice its size."""
        height, width = rgb.shape[:2]
        across, along = round(_WIDTH_MARGIN * width), round(_HEIGHT_MARGIN * height)
        padded = np.pad(rgb, ((along, along), (across, across), (0, 0)), mode="edge")
        scale = 2.0 if min(height, width) < _SMALL_PX else 1.0
        enlarged = _resized(padded, scale) if scale > 1 else padded
        faces = self._cascade(enlarged, scale * self.settings.min_face_px)
        shift = np.array([across, along], dtype=np.float64)
        return Faces(
            boxes=faces.boxes / scale - np.tile(shift, 2),
            scores=faces.scores,
            landmarks=faces.landmarks / scale - shift,
        )

    def _propose(
        self, sampler: AreaSampler, min_face_px: float
    ) -> Float[np.ndarray, "proposals 4"]:
        """Slide the proposal net over the image pyramid."""
        longest = max(sampler.height, sampler.width)
        smallest = max(min_face_px, float(CELL_PX), longest * CELL_PX / _LARGEST_LEVEL_PX)
        scale = CELL_PX / smallest
        found: list[Float[np.ndarray, "proposals 9"]] = []
        while min(sampler.height, sampler.width) * scale >= CELL_PX:
            level = sampler.whole(
                height=int(sampler.height * scale + 1), width=int(sampler.width * scale + 1)
            )
            face, offsets = self._nets.propose(level)
            rows, columns = np.nonzero(face[0] >= _PROPOSAL_THRESHOLD)
            if len(rows):
                corner = np.stack([columns, rows], axis=1) * STRIDE_PX
                boxes = np.floor(np.concatenate([corner + 1, corner + CELL_PX], axis=1) / scale)
                scores = face[0][rows, columns].astype(np.float64)
                moves = offsets[0][:, rows, columns].T.astype(np.float64)
                kept = suppress(boxes, scores, overlap=0.5)
                found.append(np.concatenate([boxes, scores[:, None], moves], axis=1)[kept])
            scale *= _PYRAMID_STEP
        if not found:
            return np.zeros((0, 4))
        together = np.concatenate(found)
        together = together[suppress(together[:, :4], together[:, 4], overlap=0.7)]
        boxes = together[:_MOST_PROPOSALS, :4]
        return _square(_moved(boxes, together[:_MOST_PROPOSALS, 5:], extra_px=0))

    def _refine(
        self, sampler: AreaSampler, boxes: Float[np.ndarray, "proposals 4"]
    ) -> Float[np.ndarray, "boxes 4"]:
        pixels, sane = _whole_pixels(sampler, boxes)
        boxes = boxes[sane]
        if not len(boxes):
            return boxes
        face, offsets = self._nets.refine(sampler.patches(pixels, size=REFINE_PX))
        scores, moves = face.astype(np.float64), offsets.astype(np.float64)
        likely = np.nonzero(scores > _REFINEMENT_THRESHOLD)[0]
        kept = likely[suppress(boxes[likely], scores[likely], overlap=0.7)]
        return _square(_moved(boxes[kept], moves[kept], extra_px=1))

    def _place(self, sampler: AreaSampler, boxes: Float[np.ndarray, "boxes 4"]) -> Faces:
        pixels, sane = _whole_pixels(sampler, boxes)
        boxes = boxes[sane]
        if not len(boxes):
            return Faces(boxes=boxes, scores=np.zeros(0), landmarks=np.zeros((0, 5, 2)))
        face, offsets, points = self._nets.place(sampler.patches(pixels, size=LANDMARK_PX))
        scores, moves = face.astype(np.float64), offsets.astype(np.float64)
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None, :]
        landmarks = boxes[:, None, :2] + sides * points.astype(np.float64) - 1
        boxes = _moved(boxes, moves, extra_px=1)
        likely = np.nonzero(scores >= self.settings.threshold)[0]
        kept = likely[suppress(boxes[likely], scores[likely], overlap=0.7, of="smaller")]
        return Faces(boxes=boxes[kept], scores=scores[kept], landmarks=landmarks[kept])


def most_prominent(faces: Faces, *, height: int, width: int) -> int:
    """Return the index of the face that the photograph is of: large and near its middle.

    Args:
        faces: One or more faces.
        height: Of the photograph, px.
        width: Of the photograph, px.
    """
    if not len(faces):
        raise ConfigError("no faces to choose from; ask only when some were found")
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    centres = (faces.boxes[:, 2:] + faces.boxes[:, :2]) / 2
    offset = (centres - np.array([width, height]) / 2) / max(height, width)
    prominence = sides.prod(axis=1) / (1 + _CENTRALITY * (offset**2).sum(axis=1))
    sure = faces.scores >= faces.scores.max() - _DOUBT
    return int(np.argmax(np.where(sure, prominence, -np.inf)))


def suppress(
    boxes: Float[np.ndarray, "b 4"],
    scores: Float[np.ndarray, " b"],
    *,
    overlap: float,
    of: Literal["union", "smaller"] = "union",
) -> Int64[np.ndarray, " kept"]:
    """Keep the best of every heap of overlapping boxes (greedy non-maximum suppression).

    Args:
        boxes: Left, top, right, bottom, both ends inside the box.
        scores: Higher is better; ties go to the earlier box.
        overlap: Largest intersection that two kept boxes may have, as a fraction.
        of: What the fraction is of.

    Returns:
        Indices of the kept boxes, best first.
    """
    order = np.argsort(-scores, kind="stable")
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    areas = sides.prod(axis=1)
    kept = []
    while len(order):
        best, others = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[others, :2])
        high = np.minimum(boxes[best, 2:], boxes[others, 2:])
        shared = np.clip(high - low + 1, 0, None).prod(axis=1)
        whole = (
            np.minimum(areas[best], areas[others])
            if of == "smaller"
            else areas[best] + areas[others] - shared
        )
        order = others[shared <= overlap * whole]
    return np.array(kept, dtype=np.int64)


def _moved(
    boxes: Float[np.ndarray, "b 4"], moves: Float[np.ndarray, "b 4"], *, extra_px: int
) -> Float[np.ndarray, "b 4"]:
    sides = boxes[:, 2:] - boxes[:, :2] + extra_px
    return boxes + moves * np.tile(sides, 2)


def _square(boxes: Float[np.ndarray, "b 4"]) -> Float[np.ndarray, "b 4"]:
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(axis=1, keepdims=True)
    low = boxes[:, :2] + (sides - longest) / 2
    return np.concatenate([low, low + longest], axis=1)


def _whole_pixels(
    sampler: AreaSampler, boxes: Float[np.ndarray, "b 4"]
) -> tuple[Int64[np.ndarray, "sane 4"], Bool[np.ndarray, " b"]]:
    """Round boxes, and say which are at least a pixel large and touch the image."""
    pixels = np.round(boxes).astype(np.int64)
    low, high = pixels[:, :2], pixels[:, 2:]
    far = np.array([sampler.width, sampler.height])
    sane = ((high > low) & (high > 0) & (low < far) & (high - low <= 2 * far.max())).all(axis=1)
    return pixels[sane], sane


def _resized(rgb: UInt8[np.ndarray, "h w 3"], scale: float) -> UInt8[np.ndarray, "y x 3"]:
    height, width = rgb.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
