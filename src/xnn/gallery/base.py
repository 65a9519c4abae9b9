"""What a gallery is: the same operations and the same answers wherever it keeps its templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from xnn.types import KeyId, SubjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateInfo:
    """A template without its vector: all that is ever listed."""

    template_id: str
    """32 hexadecimal digits, random."""
    subject_id: SubjectId
    bundle_id: str
    key_id: KeyId | None
    created_ms: int
    """Milliseconds since 1970, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One subject found by a search: its best template."""

    subject_id: SubjectId
    template_id: str
    score: float
    """Cosine in [-1, 1]; higher is more alike."""


@runtime_checkable
class Gallery(Protocol):
    """Templates of many tenants, each of whom sees its own only.

    Every change is on disk when the call returns. Vectors are made unit length when enrolled, so
    that scores are cosines. All methods may be called from several threads. Templates are compared
    only where bundle and owner's key are the same; all vectors of a bundle have one width.

    Raises, everywhere: BusyError, where the store is locked, full or away; the state is intact.
        ConfigError, for a name that is none: tenants and subjects have 1 to 128 of
        `A-Z a-z 0-9 . _ -`.

    Trust: server. Templates recognise people: that is what they are for.
    """

    def create_subject(self, tenant: str, subject_id: SubjectId) -> None:
        """Add a subject without templates.

        Raises:
            DuplicateError: It exists.
        """
        ...

    def subjects(self, tenant: str, *, after: str = "", limit: int = 100) -> list[SubjectId]:
        """Return subjects in order of their names, after one."""
        ...

    def delete_subject(self, tenant: str, subject_id: SubjectId) -> int:
        """Erase a subject and its templates; return how many templates.

        Raises:
            UnknownNameError: There is no such subject.
        """
        ...

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
        """Store one template for each vector, all or none.

        Args:
            tenant: Whose gallery.
            subject_id: Of all of them.
            vectors: Finite and not zero.
            bundle_id: Of the device bundle that the records came from.
            key_id: Of the owner's key, if any.
            request_id: A repeated one returns those templates of the first time that are still
                there, and adds none.
            create: Make the subject if it is missing.

        Raises:
            UnknownNameError: There is no such subject and `create` is not set.
            BundleMismatchError: The bundle or the key is retired.
            LimitError: The subject would have too many templates.
            ShapeError: Vectors of another width than the bundle's others, not finite, or zero.
            DuplicateError: `request_id` stood for another request.
        """
        ...

    def templates(self, tenant: str, subject_id: SubjectId) -> list[TemplateInfo]:
        """Return the templates of a subject, oldest first.

        Raises:
            UnknownNameError: There is no such subject.
        """
        ...

    def erase_template(self, tenant: str, template_id: str) -> None:
        """Erase one template so that nothing of its vector stays in the file.

        Raises:
            UnknownNameError: The tenant has no such template.
        """
        ...

    def verify(
        self,
        tenant: str,
        subject_id: SubjectId,
        probes: Float32[np.ndarray, "b e"],
        *,
        bundle_id: str,
        key_id: KeyId | None = None,
    ) -> Float32[np.ndarray, " b"]:
        """Return for each probe the score of the subject's best template of this bundle and key.

        Raises:
            UnknownNameError: There is no such subject, or it has no such template.
            BundleMismatchError: The bundle or the key is retired.
            ShapeError: Probes of another width than the bundle's templates, not finite, or zero.
            LimitError: Too many probes.
        """
        ...

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
        """Return for each probe the best subjects, best first; ties by name. May be empty.

        Args:
            tenant: Whose gallery.
            probes: Finite and not zero.
            bundle_id: Only templates made under it are compared.
            key_id: And only those made under this owner's key.
            top_k: At most so many subjects.
            threshold: Least score of a candidate.

        Raises:
            BundleMismatchError: The bundle or the key is retired.
            ShapeError: As in `verify`.
            LimitError: Too many probes, or `top_k` out of range.
        """
        ...

    def count(self, tenant: str) -> tuple[int, int]:
        """Return the numbers of subjects and of templates."""
        ...

    def retire(
        self, tenant: str, *, bundle_id: str | None = None, key_id: KeyId | None = None
    ) -> Sequence[SubjectId]:
        """Retire a bundle or an owner's key for ever: its templates are erased, new ones refused.

        Returns:
            Subjects who lost templates and are to be enrolled again, in order.

        Raises:
            ConfigError: Neither was given.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
