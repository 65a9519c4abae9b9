"""Victims in the attacker's own set: given its victims' photographs, an attack proves little.

Two photographs are copies when small grey pictures of both are nearly the same and a recogniser
sees the same face: re-encoding, grey and a shift by a pixel or two do not hide a copy.
"""

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from xnn.errors import FacesError
from xnn.faces.dataset import FaceSet
from xnn.redteam.party import Party

MIN_CORRELATION = 0.85
"""Of grey 16x16 pictures. Different photographs of different people reach 0.97."""
MAX_DISTANCE = 0.38
"""Of the recogniser's embeddings. Among CelebA and LFW, 36,207 pairs of pictures are that alike and
none is nearer than 0.41; of 200 copies as grey JPEG of quality 40, two pixels aside, all are."""

_SIDE = 16
_ROWS_AT_ONCE = 512


def refuse_shared_subjects(victim: FaceSet, public: FaceSet) -> None:
    """Refuse sets that name the same people.

    Raises:
        FacesError: A subject is in both.
    """
    shared = set(victim.subjects) & set(public.subjects)
    if shared:
        raise FacesError(
            f"{len(shared)} subjects are in the victim's and in the public set; the attacker's "
            "faces must be of other people: remove them from one"
        )


def copies_in_public(victim: Party, public: Party) -> Int64[np.ndarray, " c"]:
    """Return the rows of the public party that are copies of a victim's photograph, rising."""
    theirs = _thumbnails(public.faces.crops)
    found: set[int] = set()
    for start in range(0, len(victim), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        alike = _thumbnails(victim.faces.crops[rows]) @ theirs.T >= MIN_CORRELATION
        ours, other = np.nonzero(alike)
        apart = victim.faces.embeddings[rows][ours] - public.faces.embeddings[other]
        found |= set(other[np.linalg.norm(apart, axis=1) <= MAX_DISTANCE].tolist())
    return np.array(sorted(found), dtype=np.int64)


def _thumbnails(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b f"]:
    """Return grey pictures as rows of mean 0 and length 1."""
    block = crops.shape[1] // _SIDE
    grey = crops.mean(axis=3, dtype=np.float32)
    small = grey.reshape(len(grey), _SIDE, block, _SIDE, block).mean(axis=(2, 4))
    flat = small.reshape(len(grey), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return (flat / np.maximum(lengths, 1e-6)).astype(np.float32)
