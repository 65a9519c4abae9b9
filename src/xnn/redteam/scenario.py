"""Playing the parties: an owner uploads, the attacker gets an observation, the judge the truth."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from xnn.attacks.base import AttackCard
from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import KnownPairs, Observation, Oracle, OwnFaces
from xnn.bench.utility import as_stored
from xnn.errors import InsufficientDataError
from xnn.models.tail import Tail
from xnn.redteam.casting import Cast, Sizes, cast
from xnn.redteam.judges import Bystanders
from xnn.redteam.party import Party
from xnn.redteam.truth import LinearKey, Truth, read_linear_key
from xnn.schemes import KeyStream, Obfuscator, divide_classes, find_scheme
from xnn.shards.records import RecordType
from xnn.types import TokenShape

TokensOf = Callable[[UInt8[np.ndarray, "b 112 112 3"]], Float32[np.ndarray, "b n d"]]
"""The extractor, for the owner's system that an attacker may query."""

TrainTail = Callable[[Float32[np.ndarray, "r m e"], Int64[np.ndarray, " r"]], Tail]
"""The cloud: records and class numbers in, a tail out."""

_MAX_CANDIDATES = 400
_MOST_MEASURED = 2048
"""Features that an owner's fitted scheme is measured on, as in a build."""
_MAX_OTHER = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _OtherUpload:
    records: Float32[np.ndarray, "a m e"] | None = None
    subjects: Int64[np.ndarray, " a"] | None = None
    rows: Int64[np.ndarray, " q"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Candidates:
    faces: OwnFaces | None = None
    members: Bool[np.ndarray, " c"] | None = None
    people: Int64[np.ndarray, " c"] | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The training phase: an upload under keys from the operating system, drawn for this once."""

    victim: Party
    public: Party | None
    sizes: Sizes
    tokens_of: TokensOf
    train_tail: TrainTail
    record_type: RecordType = "float16"
    pairs_by_person: bool = False
    """As `cast` takes it."""

    def play(
        self, scheme: str, attack: AttackCard, knowledge: Knowledge, *, seed: int
    ) -> tuple[Observation, Truth]:
        """Upload under new keys and hand out what each side may see.

        Args:
            scheme: Name of the scheme.
            attack: Says what is asked: only what the attack reads is made.
            knowledge: What the attacker is granted.
            seed: Casts the people; the keys are new every time.

        Returns:
            The attacker's observation, and the judge's truth.

        Raises:
            InsufficientDataError: Too few people or photographs; says how many are needed.
        """
        parts = self._cast(knowledge, seed)
        shape = TokenShape(*self.victim.faces.tokens.shape[1:])
        suspect_of = _suspect_numbers(self.victim, parts)
        uploaded = self.victim.faces.at(parts.uploaded)
        fitted = find_scheme(scheme).fit(uploaded.tokens[:_MOST_MEASURED])
        owners = [fitted.bind(shape, KeyStream.fresh()) for _ in range(knowledge.keys)]
        card = find_scheme(scheme).card
        records = self._upload(uploaded, owners, card.reads)
        suspects = suspect_of[uploaded.labels]
        classes = _class_numbers(suspects, len(parts.gallery), card.photographs_per_class, seed)
        other = self._other_upload(attack, scheme, shape, parts, seed)
        candidates = self._candidates(attack, parts, seed)
        observation = Observation(
            scheme=scheme,
            shape=shape,
            knowledge=knowledge,
            records=records,
            labels=classes if knowledge.labels else None,
            probes=parts.probes,
            gallery=_named(self.victim, parts.gallery, suspect_of),
            public=self._public_faces(knowledge, parts),
            suspect_counts=_counts(suspects, len(parts.gallery), knowledge, seed),
            pairs=self._pairs(parts, records, suspect_of),
            oracle=self._oracle(owners[0], knowledge, card.reads),
            extract=self.tokens_of if knowledge.extractor == "public" else None,
            key=owners[0] if knowledge.key else None,
            other_upload=other.records,
            candidates=candidates.faces,
            tail=self.train_tail(records, classes) if attack.needs_tail else None,
        )
        truth = Truth(
            extractor=self.victim.extractor,
            labels=suspects[parts.probes],
            tokens=uploaded.tokens[parts.probes],
            crops=uploaded.crops[parts.probes],
            key=_key_of(owners[0], scheme),
            upload_labels=None if other.subjects is None else suspect_of[other.subjects],
            upload_rows=other.rows,
            members=candidates.members,
            candidate_labels=candidates.people,
            class_suspects=suspects[np.unique(classes, return_index=True)[1]],
        )
        return observation, truth

    def bystanders(self, knowledge: Knowledge, *, seed: int) -> Bystanders:
        """Return people who are neither suspects nor the attacker's own, for judges to learn from.

        They are the rest of the public party or, where there is none, the people of the victims'
        party who were not uploaded.
        """
        parts = self._cast(knowledge, seed)
        if self.public is None:
            faces = self.victim.faces
            allowed = np.isin(np.arange(len(faces)), parts.outsiders)
        else:
            faces = self.public.faces
            same = knowledge.public_faces == "same_collection"
            taken = faces.labels[:0] if same else faces.labels[parts.public]
            allowed = ~np.isin(faces.labels, taken)
        return Bystanders.among(faces, allowed)

    def _cast(self, knowledge: Knowledge, seed: int) -> Cast:
        by_person = self.pairs_by_person
        parties = self.victim, self.public
        return cast(*parties, knowledge, self.sizes, seed=seed, pairs_by_person=by_person)

    def _upload(
        self, faces: OwnFaces, owners: list[Obfuscator], reads: str
    ) -> Float32[np.ndarray, "r m e"]:
        """Return the records of all photographs, as stored; several keys take turns."""
        turns = [np.arange(i, len(faces), len(owners)) for i in range(len(owners))]
        made = [self._records(o, faces.at(t), reads) for o, t in zip(owners, turns, strict=True)]
        records = np.empty((len(faces), *made[0].shape[1:]), dtype=np.float32)
        for turn, part in zip(turns, made, strict=True):
            records[turn] = part
        return records

    def _records(
        self, owner: Obfuscator, faces: OwnFaces, reads: str
    ) -> Float32[np.ndarray, "r m e"]:
        read = faces.crops if reads == "crops" else faces.tokens
        return as_stored(owner, read, self.record_type)

    def _pairs(
        self,
        parts: Cast,
        records: Float32[np.ndarray, "r m e"],
        suspect_of: Int64[np.ndarray, " s"],
    ) -> KnownPairs | None:
        if not len(parts.pairs):
            return None
        faces = _named(self.victim, parts.uploaded[parts.pairs], suspect_of)
        return KnownPairs(faces=faces, records=records[parts.pairs])

    def _oracle(self, owner: Obfuscator, knowledge: Knowledge, reads: str) -> Oracle | None:
        """Return the owner's system, open to as many photographs as the knowledge says."""
        if not knowledge.chosen_inputs:
            return None
        left = [knowledge.chosen_inputs]

        def ask(crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b m e"]:
            if len(crops) > left[0]:
                raise InsufficientDataError(
                    f"{len(crops)} queries asked, {left[0]} of {knowledge.chosen_inputs} are left"
                )
            left[0] -= len(crops)
            read = crops if reads == "crops" else self.tokens_of(crops)
            return as_stored(owner, read, self.record_type)

        return ask

    def _other_upload(
        self, attack: AttackCard, scheme: str, shape: TokenShape, parts: Cast, seed: int
    ) -> _OtherUpload:
        """Make the same photographs' records under another key, in another order."""
        if attack.goal != "unlinkability":
            return _OtherUpload()
        rows = np.random.default_rng((seed, 0x07E2)).permutation(len(parts.uploaded))
        rows = rows[: max(len(parts.probes), _MAX_OTHER)]
        faces = self.victim.faces.at(parts.uploaded[rows])
        fitted = find_scheme(scheme).fit(faces.tokens[:_MOST_MEASURED])
        other = fitted.bind(shape, KeyStream.fresh())
        place = np.full(len(parts.uploaded), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        return _OtherUpload(
            records=self._records(other, faces, find_scheme(scheme).card.reads),
            subjects=faces.labels,
            rows=place[parts.probes],
        )

    def _candidates(self, attack: AttackCard, parts: Cast, seed: int) -> _Candidates:
        """Mix photographs that were uploaded with photographs of people who were not."""
        if attack.goal != "membership":
            return _Candidates()
        half = min(_MAX_CANDIDATES // 2, len(parts.outsiders), len(parts.uploaded))
        rows = np.concatenate([parts.uploaded[:half], parts.outsiders[:half]])
        order = np.random.default_rng((seed, 0x3E3B)).permutation(len(rows))
        faces = self.victim.faces.at(rows[order])
        hidden = dataclasses.replace(faces, labels=np.zeros(len(rows), dtype=np.int64))
        return _Candidates(faces=hidden, members=order < half, people=faces.labels)

    def _public_faces(self, knowledge: Knowledge, parts: Cast) -> OwnFaces:
        if knowledge.public_faces == "same_collection" or self.public is None:
            return self.victim.restricted(parts.public)
        return self.public.restricted(parts.public)


def _suspect_numbers(victim: Party, parts: Cast) -> Int64[np.ndarray, " s"]:
    """Return the suspect's number by subject of the collection; -1 for anyone else."""
    subjects = victim.faces.labels[parts.gallery]
    numbers = np.full(int(victim.faces.labels.max()) + 1, -1, dtype=np.int64)
    numbers[subjects] = np.arange(len(subjects))
    return numbers


def _class_numbers(
    suspects: Int64[np.ndarray, " r"], num_suspects: int, most: int | None, seed: int
) -> Int64[np.ndarray, " r"]:
    """Return the class number of each record: of a suspect, or of a part of its records."""
    rng = np.random.default_rng((seed, 0xC1A5))
    if most is None:
        return rng.permutation(num_suspects)[suspects]
    classes = divide_classes(suspects, most, rng.permutation(len(suspects)))
    return rng.permutation(int(classes.max()) + 1)[classes]


def _counts(
    suspects: Int64[np.ndarray, " r"], num_suspects: int, knowledge: Knowledge, seed: int
) -> Float64[np.ndarray, " s"] | None:
    """Return how many records each suspect has, as far off as the attacker's idea of it is."""
    if knowledge.suspect_counts_error is None:
        return None
    rng = np.random.default_rng((seed, 0xC047))
    counts = np.bincount(suspects[suspects >= 0], minlength=num_suspects)
    return counts * np.exp(knowledge.suspect_counts_error * rng.normal(size=num_suspects))


def _named(
    victim: Party, rows: Int64[np.ndarray, " g"], suspect_of: Int64[np.ndarray, " s"]
) -> OwnFaces:
    faces = victim.faces.at(rows)
    return dataclasses.replace(faces, labels=suspect_of[faces.labels])


def _key_of(owner: Obfuscator, scheme: str) -> LinearKey | None:
    """Return the one permutation and matrix, where the scheme is one."""
    card = find_scheme(scheme).card
    plain = card.linear and not card.randomised and not card.fresh_order
    return read_linear_key(owner) if plain and card.reads == "features" else None
