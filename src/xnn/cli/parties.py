"""Loading the parties of a scenario for a command, with progress and warnings."""

from pathlib import Path

from xnn.cli.output import progress, warn
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.redteam.casting import Sizes
from xnn.redteam.cell import CellSpec
from xnn.redteam.duplicates import copies_in_public, refuse_shared_subjects
from xnn.redteam.party import Party, make_party
from xnn.redteam.trials import Trial


def load_parties(
    owner: FaceSet, attacker: FaceSet | None, extractor: Extractor, store: Path
) -> tuple[Party, Party | None, int]:
    """Compute, or take from the store, what the parties hold; warn of copies.

    Returns:
        The owner's party, the attacker's, and how many photographs of the attacker's are copies of
        the owner's: whoever plays the parties leaves those out.

    Raises:
        FacesError: A subject is in both sets.
    """
    if attacker is not None:
        refuse_shared_subjects(owner, attacker)
    ours = _party(owner, extractor, store)
    theirs = None if attacker is None else _party(attacker, extractor, store)
    num_copies = 0 if theirs is None else len(copies_in_public(ours, theirs))
    if num_copies:
        warn(f"{num_copies} public photographs are copies of the victims'; they are left out")
    return ours, theirs, num_copies


def base_spec(
    ours: Party,
    theirs: Party | None,
    store: Path,
    *,
    extractor: str,
    split_depth: int | None,
    scheme: str,
    trial: Trial,
) -> CellSpec:
    """Return the cell that a board, an audit or a curve is derived from."""
    return CellSpec(
        victim=store / ours.fingerprint,
        public=None if theirs is None else store / theirs.fingerprint,
        extractor=extractor,
        split_depth=split_depth,
        scheme=scheme,
        trial=trial,
        seed=0,
        sizes=Sizes(),
    )


def _party(faces: FaceSet, extractor: Extractor, store: Path) -> Party:
    with progress(f"features of {faces.name}", total=len(faces)) as advance:
        return make_party(faces, extractor, store, on_records=advance)
