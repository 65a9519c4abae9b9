"""What an attacker is granted, as values printed with every result: no number means much alone."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from xnn.errors import ConfigError

Level = Literal["K0", "K1", "K2", "K3", "K4", "K5", "K6"]

PublicFaces = Literal["none", "no_faces", "other_collection", "same_collection"]
"""Images of the attacker's own: never of the victims."""

LEVELS: dict[Level, str] = {
    "K0": "the upload alone",
    "K1": "and the public extractor with images that show no faces",
    "K2": "and faces of other people from another collection",
    "K3": "and faces of other people from the same collection",
    "K4": "and some known pairs of photograph and record, order of tokens unknown",
    "K5": "and records of photographs of its own choice",
    "K6": "and the key",
}
"""Each level in words, each read after the one before it; THREAT_MODEL.md says who holds it."""

_LEVEL_OF_FACES: dict[PublicFaces, Level] = {
    "none": "K0",
    "no_faces": "K1",
    "other_collection": "K2",
    "same_collection": "K3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What the attacker holds beside the records. The headline level is K2, the default.

    Raises:
        ConfigError: A value is out of range.
    """

    public_faces: PublicFaces = "other_collection"
    extractor: Literal["public", "secret"] = "public"
    known_pairs: int = 0
    """Photographs whose records are known; the order of tokens is not."""
    chosen_inputs: int = 0
    """Queries: photographs of the attacker's choice that the owner's system turns into records."""
    labels: bool = True
    """Whether class numbers came with the records, as training needs them to."""
    suspect_counts_error: float | None = None
    """How far off the attacker's idea is of how many photographs of each suspect were uploaded: 0.1
    is about 10 %. None: no idea."""
    records: int | None = None
    """Records held; None takes all that were uploaded."""
    keys: int = 1
    """Keys under which the upload was made, records divided evenly among them."""
    key: bool = False
    """Full disclosure: the ceiling of every attack."""

    def __post_init__(self) -> None:
        if self.public_faces not in get_args(PublicFaces):
            raise ConfigError(
                f"public_faces={self.public_faces!r}; use one of {', '.join(get_args(PublicFaces))}"
            )
        for name, low in (("known_pairs", 0), ("chosen_inputs", 0), ("keys", 1)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name}={getattr(self, name)}; use {low} or more")
        if self.suspect_counts_error is not None and not self.suspect_counts_error >= 0:
            raise ConfigError(
                f"suspect_counts_error={self.suspect_counts_error}; use None, or 0 and more"
            )
        if self.records is not None and self.records < 1:
            raise ConfigError(f"records={self.records}; use None for all, or 1 and more")

    @property
    def level(self) -> Level:
        """The level of THREAT_MODEL.md that these values amount to: the highest one reached."""
        if self.key:
            return "K6"
        if self.chosen_inputs:
            return "K5"
        if self.known_pairs:
            return "K4"
        return _LEVEL_OF_FACES[self.public_faces]

    def describe(self) -> str:
        """Return the values in one line, as in "K4: faces of another collection, 16 pairs"."""
        parts = [
            {
                "none": "no images of its own",
                "no_faces": "images without faces",
                "other_collection": "faces of another collection",
                "same_collection": "other faces of the same collection",
            }[self.public_faces],
            f"{self.extractor} extractor",
            f"{self.known_pairs} known pairs",
            f"{self.chosen_inputs} chosen inputs",
            "class numbers" if self.labels else "no class numbers",
            "all records" if self.records is None else f"{self.records} records",
            f"{self.keys} key{'s' if self.keys > 1 else ''}",
        ]
        if self.suspect_counts_error is not None:
            parts.append(f"suspects' counts to {self.suspect_counts_error:.0%}")
        return f"{self.level}: {', '.join(parts)}{', the key itself' if self.key else ''}"

    def to_dict(self) -> dict[str, Any]:
        """Return the values as plain data, the level among them."""
        return {"level": self.level, **asdict(self)}
