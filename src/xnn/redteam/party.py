"""A face set as a party of a scenario holds it: crops, features and embeddings, computed once."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from xnn.attacks.observation import OwnFaces
from xnn.bench.cells import fingerprint
from xnn.errors import CorruptError, FacesError
from xnn.extractors.dlib_resnet import DlibRecogniser
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.files import disk_errors, open_atomically, read_json, write_json
from xnn.owner.build import read_samples
from xnn.owner.evaluate import number_subjects

OnRecords = Callable[[int], None]

_ARRAYS = ("crops", "tokens", "embeddings", "labels")
_FACTS = "party.json"


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Party:
    """Photographs of one collection, and what public networks make of them.

    Trust: scenario. It knows who everybody is.
    """

    name: str
    extractor: str
    """As `load_extractor` takes it."""
    fingerprint: str
    """Names the photographs and the extractor; cells of a board are named by it."""
    faces: OwnFaces
    """Labels number the subjects of the whole collection by sorted name."""

    def __len__(self) -> int:
        return len(self.faces)

    def without(self, rows: Int64[np.ndarray, " r"]) -> "Party":
        """Return the party less some photographs."""
        kept = np.setdiff1d(np.arange(len(self)), rows)
        return dataclasses.replace(self, faces=self.faces.at(kept))

    def restricted(self, rows: Int64[np.ndarray, " r"]) -> OwnFaces:
        """Return some photographs with labels numbered anew from 0."""
        return self.faces.at(rows).renumbered()


def make_party(
    faces: FaceSet,
    extractor: Extractor,
    folder: Path,
    *,
    on_records: OnRecords | None = None,
) -> Party:
    """Read the crops, run the extractor and the public recogniser, and keep the arrays on disk.

    Args:
        faces: A face set; its splits are ignored.
        extractor: Of the scheme under attack.
        folder: Kept arrays; taken as they are when the photographs and the extractor are the same.
        on_records: Told how many more crops are done.

    Raises:
        FacesError: A crop cannot be read, or the set is empty.
        StorageError: The folder cannot be written.
    """
    if not faces.samples:
        raise FacesError(f"{faces.name!r} holds no photograph; choose a folder of aligned crops")
    name = f"{fingerprint(faces)[:16]}-{extractor.card.digest()[:16]}"
    place = folder / name
    if not (place / _FACTS).is_file():
        with disk_errors("make the folder", place):
            place.mkdir(parents=True, exist_ok=True)
        arrays = _compute(faces, extractor, on_records)
        for key, array in arrays.items():
            with open_atomically(place / f"{key}.npy") as file:
                np.save(file, array)
        write_json(place / _FACTS, {"name": faces.name, "extractor": extractor.card.name})
    elif on_records:
        on_records(len(faces))
    return open_party(place)


def open_party(place: Path) -> Party:
    """Open kept arrays without reading them: several processes then share one copy in memory.

    Raises:
        CorruptError: An array is missing or damaged.
    """
    facts = read_json(place / _FACTS)
    try:
        arrays = {
            key: np.load(place / f"{key}.npy", mmap_mode="r", allow_pickle=False) for key in _ARRAYS
        }
        return Party(
            name=str(facts["name"]),
            extractor=str(facts["extractor"]),
            fingerprint=place.name,
            faces=OwnFaces(**arrays),
        )
    except (OSError, ValueError, KeyError) as error:
        raise CorruptError(
            f"the kept features {place.name!r} are damaged; remove the folder and run again"
        ) from error


@functools.lru_cache(maxsize=2)
def opened_party(place: Path) -> Party:
    """Return `open_party`, opened once for all cells of a process."""
    return open_party(place)


def _compute(
    faces: FaceSet, extractor: Extractor, on_records: OnRecords | None
) -> dict[str, UInt8[np.ndarray, "..."] | Float32[np.ndarray, "..."] | Int64[np.ndarray, " b"]]:
    recogniser = DlibRecogniser()
    crops, tokens, embeddings = [], [], []
    for batch in read_samples(faces.samples):
        crops.append(batch)
        read = torch.from_numpy(batch)
        tokens.append(extractor.tokens(read).numpy())
        embeddings.append(recogniser.embeddings(read).numpy())
        if on_records:
            on_records(len(batch))
    return {
        "crops": np.concatenate(crops),
        "tokens": np.concatenate(tokens),
        "embeddings": np.concatenate(embeddings).astype(np.float32),
        "labels": number_subjects(faces.samples),
    }
