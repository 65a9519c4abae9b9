"""Who plays what: which people are victims, which the attacker's own, which photographs cross."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int64

from xnn.attacks.knowledge import Knowledge
from xnn.errors import ConfigError, InsufficientDataError
from xnn.redteam.party import Party

_FEWEST_SUSPECTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large a scenario is. One data budget for every defence and every attack of a board.

    Raises:
        ConfigError: A number is below its least.
    """

    records: int = 2000
    """Most records uploaded; `Knowledge.records` may hold fewer."""
    probes: int = 400
    """Most records that the judge asks about."""
    public: int = 2000
    """Most photographs of the attacker's own."""
    outsiders: float = 0.15
    """Share of the victims' collection that is never uploaded: non-members for membership tests."""

    def __post_init__(self) -> None:
        for name in ("records", "probes", "public"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name}={getattr(self, name)}; use 2 or more")
        if not 0 < self.outsiders < 1:
            raise ConfigError(f"outsiders={self.outsiders:g}; use a fraction in (0, 1)")


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cast:
    """Rows of photographs by part. The victims' parts are rows of the victims' party."""

    gallery: Int64[np.ndarray, " g"]
    """One clean photograph of each suspect, never uploaded."""
    uploaded: Int64[np.ndarray, " u"]
    """In the order of the upload, which tells nothing."""
    pairs: Int64[np.ndarray, " k"]
    """Places among the uploaded whose photographs the attacker knows."""
    probes: Int64[np.ndarray, " q"]
    """Places among the uploaded that the judge asks about; never a known pair."""
    outsiders: Int64[np.ndarray, " o"]
    """Photographs of people who were not uploaded."""
    public: Int64[np.ndarray, " b"]
    """Rows of the victims' party at "same_collection", else of the public party."""


def cast(
    victim: Party,
    public: Party | None,
    knowledge: Knowledge,
    sizes: Sizes,
    *,
    seed: int,
    pairs_by_person: bool = False,
) -> Cast:
    """Draw who plays what.

    At "same_collection" half of the victims' collection becomes the attacker's. The public
    photographs are drawn person by person, those with most photographs first, so that the attacker
    has several of each.

    Args:
        victim: The owner's collection: every subject with two photographs or more may be a victim.
        public: The attacker's collection; not needed at "same_collection".
        knowledge: Says how many records are held and which faces are public.
        sizes: See there.
        seed: Of every draw.
        pairs_by_person: Whether known pairs are all records of a few people, not of anyone.

    Raises:
        InsufficientDataError: Too few subjects, photographs, or photographs beside the pairs.
        ConfigError: A public set is needed and none was given.
    """
    generator = np.random.default_rng((seed, 0xCA57))
    labels = victim.faces.labels
    subjects, counts = np.unique(labels, return_counts=True)
    subjects = generator.permutation(subjects[counts >= 2])
    same = knowledge.public_faces == "same_collection"
    num_own = len(subjects) // 2 if same else 0
    num_out = max(1, round(sizes.outsiders * (len(subjects) - num_own)))
    own, out, suspects = np.split(subjects, [num_own, num_own + num_out])
    if len(suspects) < _FEWEST_SUSPECTS:
        raise InsufficientDataError(
            f"{victim.name!r} leaves {len(suspects)} suspects, a scenario needs at least "
            f"{_FEWEST_SUSPECTS}; give subjects with two photographs or more"
        )
    rows = generator.permutation(np.flatnonzero(np.isin(labels, suspects)))
    gallery = rows[np.unique(labels[rows], return_index=True)[1]]
    limit = min(sizes.records, knowledge.records or sizes.records)
    uploaded = generator.permutation(np.setdiff1d(rows, gallery))[:limit]
    pairs, rest = _split_off_pairs(
        labels[uploaded], knowledge.known_pairs, generator, by_person=pairs_by_person
    )
    if len(rest) < 2:
        raise InsufficientDataError(
            f"{len(uploaded)} records and {knowledge.known_pairs} known pairs leave "
            f"{len(rest)} to ask about, at least 2 are needed; hold more records"
        )
    return Cast(
        gallery=gallery,
        uploaded=uploaded,
        pairs=pairs,
        probes=np.sort(rest[: sizes.probes]),
        outsiders=generator.permutation(np.flatnonzero(np.isin(labels, out))),
        public=_public_rows(victim, public, own, knowledge, sizes, generator),
    )


def _split_off_pairs(
    people: Int64[np.ndarray, " u"],
    num_pairs: int,
    generator: np.random.Generator,
    *,
    by_person: bool,
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " v"]]:
    """Return places of the known pairs, and all others in no order."""
    places = generator.permutation(len(people))
    if not by_person:
        return places[:num_pairs], places[num_pairs:]
    turn = generator.permutation(int(people.max()) + 1)
    places = places[np.argsort(turn[people[places]], kind="stable")]
    return places[:num_pairs], generator.permutation(places[num_pairs:])


def _public_rows(
    victim: Party,
    public: Party | None,
    own: Int64[np.ndarray, " s"],
    knowledge: Knowledge,
    sizes: Sizes,
    generator: np.random.Generator,
) -> Int64[np.ndarray, " b"]:
    if knowledge.public_faces == "same_collection":
        labels, allowed = victim.faces.labels, own
    else:
        if public is None:
            raise ConfigError(
                f"public_faces={knowledge.public_faces!r} needs a public set; give --public"
            )
        labels = public.faces.labels
        allowed = np.unique(labels)
    people, counts = np.unique(labels[np.isin(labels, allowed)], return_counts=True)
    ranked = people[np.argsort(-counts - generator.random(len(people)))]
    chosen, total = [], 0
    for person in ranked:
        if total >= sizes.public:
            break
        rows = np.flatnonzero(labels == person)
        chosen.append(rows)
        total += len(rows)
    if not chosen:
        raise InsufficientDataError("the attacker's public set is empty; give more people")
    return np.sort(np.concatenate(chosen)[: sizes.public])
