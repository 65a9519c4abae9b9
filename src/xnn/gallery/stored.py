"""A gallery in a database: every rule of `base.Gallery`, whoever keeps the vectors."""

import secrets
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection

from xnn.database import Database, Vault
from xnn.errors import (
    BundleMismatchError,
    ConfigError,
    DuplicateError,
    LimitError,
    ShapeError,
    UnknownNameError,
)
from xnn.gallery import records
from xnn.gallery.base import Candidate, Gallery, TemplateInfo
from xnn.gallery.keeper import VectorKeeper
from xnn.gallery.limits import (
    GalleryLimits,
    check_bundle_id,
    check_name,
    check_request_id,
    unit_vectors,
)
from xnn.gallery.open_space import OpenSpace, check_width
from xnn.gallery.space import FreshTemplate, Space
from xnn.types import KeyId, SubjectId


@final
class StoredGallery(Gallery):
    """See `Gallery` for each operation. Several processes may open one database.

    Trust: server.
    """

    def __init__(
        self,
        database: Database,
        keeper: VectorKeeper,
        *,
        limits: GalleryLimits,
        vault: Vault,
        clock_ms: Callable[[], int],
    ) -> None:
        self.database = database
        self.vault = vault
        self.limits = limits
        self._keeper = keeper
        self._clock_ms = clock_ms

    def __repr__(self) -> str:
        return f"StoredGallery({self.database!r})"

    def create_subject(self, tenant: str, subject_id: SubjectId) -> None:
        """Add a subject without templates."""
        self._check(tenant, subject_id)
        with self.database.writing() as connection:
            records.next_version(connection)
            if records.has_subject(connection, tenant, subject_id):
                raise DuplicateError("the subject exists; enrol it, or use another subject_id")
            records.add_subject(connection, tenant, subject_id, self._clock_ms())

    def subjects(self, tenant: str, *, after: str = "", limit: int = 100) -> list[SubjectId]:
        """Return subjects in order of their names, after one."""
        check_name(tenant, "tenant")
        if limit < 1:
            raise ConfigError(f"limit={limit} must be at least 1")
        with self.database.reading() as connection:
            return records.list_subjects(connection, tenant, after, limit)

    def delete_subject(self, tenant: str, subject_id: SubjectId) -> int:
        """Erase a subject and its templates; return how many templates."""
        self._check(tenant, subject_id)
        with self.database.writing() as connection:
            version = records.next_version(connection)
            _require_subject(connection, tenant, subject_id)
            found = records.templates_of(connection, tenant, subject_id)
            self._erase(connection, found, version)
            records.remove_subject(connection, tenant, subject_id)
        self._settle()
        return len(found)

    def enrol(
        self,
        tenant: str,
        subject_id: SubjectId,
        vectors: Float32[np.ndarray, "b e"],
        *,
        bundle_id: str,
        key_id: KeyId | None = None,
        request_id: str,
        create: bool = False,
    ) -> list[TemplateInfo]:
        """Store one template for each vector, all or none."""
        self._check(tenant, subject_id)
        check_request_id(request_id)
        space = _space(tenant, bundle_id, key_id)
        units = self._units(vectors)
        digest = records.request_digest(subject_id, space, len(units))
        now_ms = self._clock_ms()
        oldest_ms = now_ms - self.limits.request_age_ms
        with self.database.writing() as connection:
            version = records.next_version(connection)
            earlier = records.find_request(connection, tenant, request_id, digest, oldest_ms)
            if earlier is not None:
                return earlier
            _fit(connection, space, units.shape[1])
            if not records.has_subject(connection, tenant, subject_id):
                if not create:
                    raise UnknownNameError("there is no such subject; create it first")
                records.add_subject(connection, tenant, subject_id, now_ms)
            self._check_room(connection, tenant, subject_id, len(units))
            fresh = _fresh(space, subject_id, units, version, now_ms)
            self._keeper.store(connection, fresh)
            records.remember_request(
                connection,
                tenant,
                request_id,
                digest,
                [template.info.template_id for template in fresh],
                now_ms=now_ms,
                oldest_ms=oldest_ms,
            )
        return [template.info for template in fresh]

    def templates(self, tenant: str, subject_id: SubjectId) -> list[TemplateInfo]:
        """Return the templates of a subject, oldest first."""
        self._check(tenant, subject_id)
        with self.database.reading() as connection:
            _require_subject(connection, tenant, subject_id)
            return records.templates_of(connection, tenant, subject_id)

    def erase_template(self, tenant: str, template_id: str) -> None:
        """Erase one template so that nothing of its vector stays in the file."""
        check_name(tenant, "tenant")
        with self.database.writing() as connection:
            version = records.next_version(connection)
            found = records.template(connection, tenant, template_id)
            if found is None:
                raise UnknownNameError("there is no such template; list those of the subject")
            self._erase(connection, [found], version)
        self._settle()

    def verify(
        self,
        tenant: str,
        subject_id: SubjectId,
        probes: Float32[np.ndarray, "b e"],
        *,
        bundle_id: str,
        key_id: KeyId | None = None,
    ) -> Float32[np.ndarray, " b"]:
        """Return for each probe the score of the subject's best template of this bundle and key."""
        opened = self.opened(tenant, bundle_id=bundle_id, key_id=key_id, subject_id=subject_id)
        return opened.verify(subject_id, probes)

    def search(
        self,
        tenant: str,
        probes: Float32[np.ndarray, "b e"],
        *,
        bundle_id: str,
        key_id: KeyId | None = None,
        top_k: int,
        threshold: float = -1.0,
    ) -> list[list[Candidate]]:
        """Return for each probe the best subjects, best first; ties by name. May be empty."""
        opened = self.opened(tenant, bundle_id=bundle_id, key_id=key_id)
        return opened.search(probes, top_k=top_k, threshold=threshold)

    def opened(
        self,
        tenant: str,
        *,
        bundle_id: str,
        key_id: KeyId | None = None,
        subject_id: SubjectId | None = None,
    ) -> OpenSpace:
        """Return what may be compared with probes of this bundle and key, as it is now.

        Args:
            tenant: Whose gallery.
            bundle_id: Only templates made under it are compared.
            key_id: And only those made under this owner's key.
            subject_id: Somebody who must exist.

        Raises:
            BundleMismatchError: The bundle or the key is retired.
            UnknownNameError: There is no such subject.
        """
        check_name(tenant, "tenant")
        if subject_id is not None:
            check_name(subject_id, "subject_id")
        space = _space(tenant, bundle_id, key_id)
        with self.database.reading() as connection:
            known = records.standing_of(connection, space)
            _refuse_retired(known)
            if subject_id is not None:
                _require_subject(connection, tenant, subject_id)
            self._keeper.catch_up(connection)
            templates = self._keeper.count(connection, tenant)
        return OpenSpace(space, known.width, templates, self._keeper, self.limits)

    def restore(
        self,
        tenant: str,
        infos: Sequence[TemplateInfo],
        vectors: Float32[np.ndarray, "b e"],
        *,
        subjects: Sequence[SubjectId] = (),
    ) -> int:
        """Store templates that were exported, as they were, and those of `subjects` yet missing.

        Templates that the tenant has already are left as they are.

        Returns:
            How many were stored.

        Raises:
            DuplicateError: Another tenant or subject has one of them.
            BundleMismatchError: Their bundle or key is retired here.
            ShapeError: As in `enrol`.
        """
        units = self._checked(vectors) if infos else vectors
        now_ms = self._clock_ms()
        with self.database.writing() as connection:
            version = records.next_version(connection)
            for name in dict.fromkeys([*subjects, *(info.subject_id for info in infos)]):
                self._check(tenant, name)
                if not records.has_subject(connection, tenant, name):
                    records.add_subject(connection, tenant, name, now_ms)
            owners = records.owners_of(connection, [info.template_id for info in infos])
            for space in {_space(tenant, info.bundle_id, info.key_id) for info in infos}:
                _fit(connection, space, units.shape[1])
            fresh = []
            for place, (info, unit) in enumerate(zip(infos, units, strict=True)):
                owner = owners.get(info.template_id)
                if owner is None:
                    fresh.append(
                        FreshTemplate(
                            tenant=tenant, info=info, vector=unit, version=version, place=place
                        )
                    )
                elif owner != (tenant, info.subject_id):
                    raise DuplicateError(
                        "a template belongs to another subject or tenant here; import into an "
                        "empty gallery"
                    )
            if fresh:
                self._keeper.store(connection, fresh)
        return len(fresh)

    def read(
        self, tenant: str, *, after: str = "", limit: int = 1000
    ) -> list[tuple[TemplateInfo, Float32[np.ndarray, " e"]]]:
        """Return templates with their vectors, in order of template_id: for an export only.

        Trust: operator. What it returns recognises people.
        """
        check_name(tenant, "tenant")
        with self.database.reading() as connection:
            return self._keeper.read(connection, tenant, after=after, limit=limit)

    def count(self, tenant: str) -> tuple[int, int]:
        """Return the numbers of subjects and of templates."""
        check_name(tenant, "tenant")
        with self.database.reading() as connection:
            return records.count(connection, tenant)

    def describe(self) -> dict[str, str | int]:
        """Return plain facts of the whole gallery: its id, counter of changes, how it is kept."""
        with self.database.reading() as connection:
            return records.facts(connection)

    def retire(
        self, tenant: str, *, bundle_id: str | None = None, key_id: KeyId | None = None
    ) -> Sequence[SubjectId]:
        """Retire a bundle or an owner's key for ever; return who is to be enrolled again."""
        check_name(tenant, "tenant")
        if bundle_id is None and key_id is None:
            raise ConfigError("nothing to retire; name a bundle or a key")
        with self.database.writing() as connection:
            version = records.next_version(connection)
            for kind, name in (("bundle", bundle_id), ("key", key_id)):
                if name is not None:
                    check_name(name, f"{kind}_id")
                    records.retire(connection, tenant, kind, name, self._clock_ms())
            found = records.templates_under(connection, tenant, bundle_id=bundle_id, key_id=key_id)
            self._erase(connection, found, version)
        self._settle()
        return sorted({info.subject_id for info in found})

    def close(self) -> None:
        """Let go of files and connections."""
        self.database.close()

    def _check(self, tenant: str, subject_id: str) -> None:
        check_name(tenant, "tenant")
        check_name(subject_id, "subject_id")

    def _units(self, vectors: Float32[np.ndarray, "b e"]) -> Float32[np.ndarray, "b e"]:
        if len(vectors) > self.limits.vectors_per_call:
            raise LimitError(
                f"{len(vectors)} vectors in one call, at most {self.limits.vectors_per_call}; "
                "send several"
            )
        return unit_vectors(vectors, max_width=self.limits.max_width)

    def _checked(self, vectors: Float32[np.ndarray, "b e"]) -> Float32[np.ndarray, "b e"]:
        units = unit_vectors(vectors, max_width=self.limits.max_width)
        if np.abs(units - vectors).max() > 1e-5:
            raise ShapeError("an imported vector is not of unit length; export the gallery again")
        return vectors

    def _check_room(
        self, connection: Connection, tenant: str, subject_id: str, num_vectors: int
    ) -> None:
        held = len(records.templates_of(connection, tenant, subject_id))
        most = self.limits.templates_per_subject
        if held + num_vectors > most:
            raise LimitError(
                f"the subject has {held} templates and would get {num_vectors} more, at most "
                f"{most} are kept; erase some or send fewer"
            )

    def _erase(self, connection: Connection, found: Sequence[TemplateInfo], version: int) -> None:
        if found:
            ids = [info.template_id for info in found]
            records.remove_templates(connection, ids, version)

    def _settle(self) -> None:
        """After an erasure: take the bytes out of the files, and out of this process's memory."""
        self.database.scrub()
        with self.database.reading() as connection:
            self._keeper.catch_up(connection, load=False)


def _space(tenant: str, bundle_id: str, key_id: KeyId | None) -> Space:
    check_bundle_id(bundle_id)
    if key_id is not None:
        check_name(key_id, "key_id")
    return Space(tenant, bundle_id, key_id)


def _require_subject(connection: Connection, tenant: str, subject_id: str) -> None:
    if not records.has_subject(connection, tenant, subject_id):
        raise UnknownNameError("there is no such subject; list those there are")


def _refuse_retired(known: records.Standing) -> None:
    if known.bundle_retired:
        raise BundleMismatchError("the bundle is retired; fetch the one the service uses now")
    if known.key_retired:
        raise BundleMismatchError("the owner's key is retired; use the one that replaced it")


def _fit(connection: Connection, space: Space, width: int) -> None:
    """Refuse what is retired or of another width; fix the width of a bundle's first vectors."""
    known = records.standing_of(connection, space)
    _refuse_retired(known)
    if known.width is None:
        records.set_width(connection, space.tenant, space.bundle_id, width)
    check_width(width, known.width)


def _fresh(
    space: Space,
    subject_id: SubjectId,
    units: Float32[np.ndarray, "b e"],
    version: int,
    now_ms: int,
) -> list[FreshTemplate]:
    return [
        FreshTemplate(
            tenant=space.tenant,
            info=TemplateInfo(
                template_id=secrets.token_hex(16),
                subject_id=subject_id,
                bundle_id=space.bundle_id,
                key_id=space.key_id,
                created_ms=now_ms,
            ),
            vector=unit,
            version=version,
            place=place,
        )
        for place, unit in enumerate(units)
    ]
