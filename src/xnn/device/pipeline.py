"""From photographs to z: upright, found, aligned, protected. All of it on the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float, UInt8

from xnn.device.bundle import DeviceBundle, load_detector, load_device_bundle
from xnn.errors import ConfigError, FacesError, ShapeError
from xnn.faces.align import align
from xnn.faces.detection.detector import DetectionSettings, FaceDetector, most_prominent
from xnn.faces.photograph import (
    DEFAULT_MAX_PIXELS,
    Refusal,
    decode_photograph,
    open_photograph,
)

Photo = str | Path | bytes | np.ndarray
"""A file's path, a file's content, or upright RGB pixels: uint8 `(h, w, 3)` in 0..255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """What a device accepts as a photograph of a face."""

    detection: DetectionSettings = field(default_factory=DetectionSettings)
    """How eager the detector is."""
    min_face_px: int = 40
    """Side of the smallest face that is used, in pixels of the photograph. Fewer tell little."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Photographs with more pixels are not opened."""

    def __post_init__(self) -> None:
        if self.min_face_px < 1:
            raise ConfigError(f"min_face_px={self.min_face_px}: expected 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """The face that a photograph is of.

    Trust: device. It shows the face; it never leaves.
    """

    crop: UInt8[np.ndarray, "112 112 3"]
    """Aligned RGB."""
    score: float
    """Of the detector, in 0..1."""
    face_px: float
    """Shorter side of the face's box, in pixels of the photograph."""
    num_faces: int
    """In the photograph; the most prominent was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What came of some photographs, in their order."""

    records: Float[np.ndarray, "b m e"]
    """z: this may leave."""
    captures: tuple[Capture, ...]
    """These may not."""


@final
class DevicePipeline:
    """Photographs in, protected records out. May be used from several threads.

    Args:
        bundle: The front.
        detector: Of the same bundle, or another one.
        settings: The usual ones if left out.

    Trust: device. It sees faces.
    """

    def __init__(
        self,
        bundle: DeviceBundle,
        detector: FaceDetector,
        settings: PipelineSettings | None = None,
    ) -> None:
        self.bundle = bundle
        self.settings = settings or PipelineSettings()
        self._detector = detector

    def capture(self, photo: Photo, *, place: str = "") -> Capture:
        """Find and align the face of a photograph.

        Args:
            photo: See `Photo`. EXIF orientation is applied to files.
            place: What the photograph is called in an error; the usual name if left out.

        Raises:
            FacesError: Not readable, no face, or a face too small.
            ShapeError: An array that is no RGB picture.
        """
        place = place or _place(photo, 1, 1)
        rgb = self._pixels(photo, place)
        faces = self._detector.find(rgb)
        if not len(faces):
            raise FacesError(
                f"{place} shows no face that scores {self.settings.detection.threshold:g} or more; "
                "take another with the face upright, whole and lit"
            )
        height, width = rgb.shape[:2]
        chosen = most_prominent(faces, height=height, width=width)
        left, top, right, bottom = faces.boxes[chosen]
        face_px = float(min(right - left, bottom - top))
        if face_px < self.settings.min_face_px:
            raise FacesError(
                f"the face in {place} is {face_px:.0f} px wide, at least "
                f"{self.settings.min_face_px} px are needed; come nearer or use a finer photograph"
            )
        return Capture(
            crop=align(rgb, faces.landmarks[chosen]),
            score=float(faces.scores[chosen]),
            face_px=face_px,
            num_faces=len(faces),
        )

    def prepare(
        self, photos: Sequence[Photo], *, progress: Callable[[int], None] | None = None
    ) -> Prepared:
        """Turn photographs into records, all or none.

        Args:
            photos: One or more.
            progress: Called with the number of photographs just worked on.

        Raises:
            ConfigError: There are none.
            FacesError, ShapeError: See `capture`; the text says which photograph.
        """
        if not len(photos):
            raise ConfigError("no photographs were given; give at least one")
        captures = []
        for number, photo in enumerate(photos, 1):
            captures.append(self.capture(photo, place=_place(photo, number, len(photos))))
            if progress is not None:
                progress(1)
        crops = np.stack([capture.crop for capture in captures])
        return Prepared(records=self.bundle.send(crops), captures=tuple(captures))

    def _pixels(self, photo: Photo, place: str) -> UInt8[np.ndarray, "h w 3"]:
        if isinstance(photo, np.ndarray):
            if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
                raise ShapeError(
                    f"{place} is an array of {photo.dtype} {photo.shape}, expected uint8 "
                    "(h, w, 3): RGB in 0..255"
                )
            if photo.shape[0] * photo.shape[1] > self.settings.max_pixels:
                raise FacesError(
                    f"{place} has {photo.shape[0] * photo.shape[1]} pixels, the limit is "
                    f"{self.settings.max_pixels}; shrink it"
                )
            return photo
        opened = (
            decode_photograph(photo, max_pixels=self.settings.max_pixels)
            if isinstance(photo, bytes)
            else open_photograph(Path(photo), max_pixels=self.settings.max_pixels)
        )
        if isinstance(opened, Refusal):
            raise FacesError(
                f"cannot use {place}: {opened.status.replace('_', ' ')}, {opened.reason}; "
                "replace it or leave it out"
            )
        return opened.rgb


def open_pipeline(
    folder: Path, *, int8: bool = False, settings: PipelineSettings | None = None
) -> DevicePipeline:
    """Read a device bundle, front and detector, and verify every byte of it.

    Args:
        folder: What `xnn noise export --device` wrote.
        int8: Use the small variant of the front.
        settings: The usual ones if left out.

    Raises:
        FormatError, VersionError, CorruptError, ConfigError, MissingExtraError: See
            `load_device_bundle`.

    Trust: device.
    """
    settings = settings or PipelineSettings()
    bundle = load_device_bundle(folder, int8=int8)
    return DevicePipeline(bundle, load_detector(folder, settings.detection), settings)


def _place(photo: Photo, number: int, total: int) -> str:
    if isinstance(photo, str | Path):
        return repr(Path(photo).name)
    return "the photograph" if total == 1 else f"photograph {number}"
