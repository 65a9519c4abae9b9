"""A device bundle on disk and in use.

A folder of `front.onnx` (extractor, norms, noise), perhaps `front-int8.onnx`, the face detector in
three files, and `device.json` with the card and every digest, written last.
"""

import importlib
import math
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float, UInt8

from xnn.device.card import (
    CARD_NAME,
    FORMAT,
    FORMAT_VERSION,
    INT8_NAME,
    MODEL_NAME,
    SERVER_CARD_NAME,
    DeviceCard,
)
from xnn.errors import ConfigError, CorruptError, FormatError, MissingExtraError
from xnn.faces.detection.detector import DetectionSettings, FaceDetector
from xnn.faces.detection.onnx_nets import DETECTOR_NAMES, NOTICE_NAME, OnnxNets
from xnn.files import read_card, sha256_of_file, write_card
from xnn.keystream import KeyStream

_BATCH = 64


@final
class DeviceBundle:
    """A front ready to send. Every call draws noise of its own, where the front is random.

    Trust: device. Crops show faces; what `send` returns may leave.
    """

    def __init__(self, card: DeviceCard, session: Any) -> None:
        self.card = card
        self._session = session

    def send(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float[np.ndarray, "b m e"]:
        """Return z of aligned RGB crops: float64 of a coupled front, float32 of all others."""
        parts = [self._run(crops[i : i + _BATCH]) for i in range(0, len(crops), _BATCH)]
        shape = (0, self.card.m, self.card.e)
        return np.concatenate(parts) if parts else np.zeros(shape, dtype=np.float32)

    def _run(self, crops: np.ndarray) -> np.ndarray:
        given: dict[str, np.ndarray] = {"crops": crops}
        if self.card.fresh_shape:
            shape = (len(crops), *self.card.fresh_shape)
            normals = KeyStream.fresh().normals(math.prod(shape))
            given["fresh"] = normals.reshape(shape).astype(np.float32)
        (sent,) = self._session.run(None, given)
        return sent


def finish_device_bundle(folder: Path, card: DeviceCard) -> None:
    """Write the card beside models that are there already; this makes the folder a bundle."""
    names = (MODEL_NAME, INT8_NAME, *DETECTOR_NAMES, NOTICE_NAME)
    files = {name: sha256_of_file(folder / name) for name in names if (folder / name).is_file()}
    write_card(
        folder / CARD_NAME,
        card.to_dict(),
        form=FORMAT,
        version=FORMAT_VERSION,
        digests={"files": files},
    )


def load_device_bundle(folder: Path, *, int8: bool = False) -> DeviceBundle:
    """Read a device bundle and verify every byte of it.

    Args:
        folder: What `xnn noise export --device` wrote.
        int8: Use the small variant.

    Raises:
        FormatError: The folder holds no device bundle; a server's is named as such.
        VersionError: Written by another version.
        CorruptError: A file is missing or altered.
        ConfigError: There is no int8 variant.
        MissingExtraError: onnxruntime is not installed.

    Trust: device.
    """
    card, files = read_device_card(folder)
    name = INT8_NAME if int8 else MODEL_NAME
    if int8 and name not in files:
        raise ConfigError("this device bundle has no int8 variant; export it with --int8")
    return DeviceBundle(card, _open_verified(folder, name, files))


def load_detector(folder: Path, settings: DetectionSettings | None = None) -> FaceDetector:
    """Read the face detector of a device bundle and verify every byte of it.

    Args:
        folder: See `load_device_bundle`, which has the errors too.
        settings: How eager it is.

    Trust: device. It reads faces.
    """
    _, files = read_device_card(folder)
    sessions = [_open_verified(folder, name, files) for name in DETECTOR_NAMES]
    return FaceDetector(OnnxNets(*sessions), settings)


def read_device_card(folder: Path) -> tuple[DeviceCard, dict[str, str]]:
    """Return the card and the digests of the files; see `load_device_bundle`."""
    if not (folder / CARD_NAME).is_file():
        if (folder / SERVER_CARD_NAME).is_file():
            raise FormatError(
                f"{folder.name!r} is a server's bundle: it holds a student and no front; "
                "a device needs its own bundle"
            )
        raise FormatError(f"{folder.name!r} has no {CARD_NAME}: not a device bundle")
    fields, content = read_card(
        folder / CARD_NAME,
        form=FORMAT,
        version=FORMAT_VERSION,
        what="device bundle",
        again="export",
    )
    files = content.get("files")
    if not isinstance(files, dict):
        raise CorruptError(f"{CARD_NAME!r} names no files; export it again")
    return DeviceCard.from_dict(fields), files


def _open_verified(folder: Path, name: str, files: dict[str, str]) -> Any:
    path = folder / name
    if not path.is_file() or sha256_of_file(path) != files.get(name):
        raise CorruptError(f"{name!r} is missing or altered; export the bundle again")
    return open_session(path)


def open_session(path: Path) -> Any:
    """Return an onnxruntime session on the CPU with one thread.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        CorruptError: It does not accept the model.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtraError(
            "onnxruntime is not installed; run pip install 'xnn-face[device]'"
        ) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base
        raise CorruptError(f"{path.name!r} cannot be run: {type(error).__name__}") from error
