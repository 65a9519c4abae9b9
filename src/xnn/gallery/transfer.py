"""Export and import: a tenant's gallery in one file, sealed under a passphrase."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from jaxtyping import Float32

from xnn.errors import (
    BundleMismatchError,
    CorruptError,
    FormatError,
    OutputExistsError,
    PassphraseError,
    VersionError,
)
from xnn.files import canonical_json, disk_errors, open_atomically
from xnn.gallery.base import TemplateInfo
from xnn.gallery.stored import StoredGallery
from xnn.stretching import Stretching, describe_stretching, parse_stretching
from xnn.types import KeyId, SubjectId

FORMAT, FORMAT_VERSION = "xnn-gallery", 1
_AT_ONCE = 1000
_MAX_HEADER, _MAX_PART = 1 << 20, 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferResult:
    """What an export or an import did."""

    subjects: int
    templates: int
    """In the file."""
    stored: int
    """Of these, not there before; for an export, 0."""
    bundle_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the file: subjects, or templates with their vectors."""

    subjects: tuple[SubjectId, ...]
    infos: tuple[TemplateInfo, ...]
    vectors: Float32[np.ndarray, "b e"]


def export_gallery(
    gallery: StoredGallery, tenant: str, path: Path, passphrase: str, *, log2_n: int = 17
) -> TransferResult:
    """Write a tenant's subjects and templates into a new file of mode 0600.

    Args:
        gallery: What is exported. Changes made meanwhile may be in the file or not.
        tenant: Whose.
        path: Must not exist.
        passphrase: At least 8 characters; stretched with scrypt.
        log2_n: Cost exponent of scrypt; lower only in tests.

    Raises:
        OutputExistsError: The file exists.
        StorageError: It cannot be written.
        BusyError: The gallery is locked or away.

    Trust: operator. The file recognises people; sealing is all that protects it.
    """
    if path.exists():
        raise OutputExistsError(f"{path.name!r} exists; export into a new file")
    stretching = Stretching.fresh(log2_n=log2_n)
    cipher = AESGCM(stretching.wrapping_key(passphrase))
    header = canonical_json(
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "stretching": describe_stretching(stretching),
        }
    )
    subjects = templates = 0
    bundles: set[str] = set()
    with open_atomically(path, mode=0o600) as file:
        file.write(header + b"\n")
        number = 0
        for part in _parts_of(gallery, tenant):
            _write(file, cipher, header, number, part, last=False)
            number += 1
            subjects, templates = subjects + len(part.subjects), templates + len(part.infos)
            bundles |= {info.bundle_id for info in part.infos}
        _write(file, cipher, header, number, _Part((), (), _no_vectors()), last=True)
    return TransferResult(
        subjects=subjects, templates=templates, stored=0, bundle_ids=tuple(sorted(bundles))
    )


def import_gallery(
    gallery: StoredGallery,
    tenant: str,
    path: Path,
    passphrase: str,
    *,
    bundle_id: str | None,
    advance: Callable[[int], None] = lambda _: None,
) -> TransferResult:
    """Store what a file holds, under the same template ids.

    The whole file is checked before the first template is stored. Templates that are there already
    are left alone, so a stopped import is finished by running it again.

    Args:
        gallery: Where to.
        tenant: Whose they become.
        path: Written by `export_gallery`.
        passphrase: Of the file.
        bundle_id: That of the service: templates of another would never be found. None takes all.
        advance: Told how many more templates are done.

    Raises:
        PassphraseError: Wrong passphrase, or the file was altered.
        CorruptError: The file ends too early.
        FormatError: Not an export. VersionError: of another version.
        BundleMismatchError: It holds templates of another bundle.
        DuplicateError: Another subject or tenant has one of its templates.
    """
    subjects = templates = stored = 0
    bundles: set[str] = set()
    for part in _read_parts(path, passphrase):
        subjects, templates = subjects + len(part.subjects), templates + len(part.infos)
        bundles |= {info.bundle_id for info in part.infos}
    if bundle_id is not None and bundles - {bundle_id}:
        other = sorted(bundles - {bundle_id})[0]
        raise BundleMismatchError(
            f"the file holds templates of bundle {other[:16]}, the service has {bundle_id[:16]}; "
            "enrol these subjects again with the new bundle"
        )
    for part in _read_parts(path, passphrase):
        stored += gallery.restore(tenant, part.infos, part.vectors, subjects=part.subjects)
        advance(len(part.infos))
    return TransferResult(
        subjects=subjects, templates=templates, stored=stored, bundle_ids=tuple(sorted(bundles))
    )


def _parts_of(gallery: StoredGallery, tenant: str) -> Iterator[_Part]:
    after = ""
    while names := gallery.subjects(tenant, after=after, limit=_AT_ONCE):
        yield _Part(tuple(names), (), _no_vectors())
        after = names[-1]
    after = ""
    while found := gallery.read(tenant, after=after, limit=_AT_ONCE):
        after = found[-1][0].template_id
        for width in sorted({len(vector) for _, vector in found}):
            same = [(info, vector) for info, vector in found if len(vector) == width]
            infos = tuple(info for info, _ in same)
            yield _Part((), infos, np.stack([vector for _, vector in same]))


def _write(
    file: IO[bytes], cipher: AESGCM, header: bytes, number: int, part: _Part, *, last: bool
) -> None:
    facts = canonical_json(
        {
            "subjects": list(part.subjects),
            "templates": [asdict(info) for info in part.infos],
            "width": part.vectors.shape[1],
        }
    )
    content = len(facts).to_bytes(4, "big") + facts + part.vectors.astype("<f4").tobytes()
    # A key of its own for each file (fresh salt), so numbers serve as nonces.
    sealed = cipher.encrypt(number.to_bytes(12, "big"), content, _bound(header, last))
    file.write(bytes([last]) + len(sealed).to_bytes(4, "big") + sealed)


def _bound(header: bytes, last: bool) -> bytes:
    return hashlib.sha256(header).digest() + bytes([last])


def _read_parts(path: Path, passphrase: str) -> Iterator[_Part]:
    with disk_errors("read", path), path.open("rb") as file:
        header = file.readline(_MAX_HEADER)
        stretching = _stretching(header, path.name)
        cipher = AESGCM(stretching.wrapping_key(passphrase))
        number, last = 0, False
        while not last:
            last, sealed = _next(file, path.name)
            try:
                content = cipher.decrypt(
                    number.to_bytes(12, "big"), sealed, _bound(header.rstrip(b"\n"), last)
                )
            except InvalidTag:
                raise PassphraseError(
                    f"{path.name!r} does not open: the passphrase is wrong, or the file was altered"
                ) from None
            yield _parse(content, path.name)
            number += 1
        if file.read(1):
            raise CorruptError(f"{path.name!r} goes on after its end; it was altered")


def _next(file: IO[bytes], name: str) -> tuple[bool, bytes]:
    begin = file.read(5)
    size = int.from_bytes(begin[1:], "big")
    if len(begin) == 5 and (begin[0] > 1 or size > _MAX_PART):
        raise CorruptError(f"{name!r} was altered: a part of {size} bytes; export it again")
    sealed = file.read(size)
    if len(begin) < 5 or len(sealed) < size:
        raise CorruptError(f"{name!r} ends too early; copy it again")
    return bool(begin[0]), sealed


def _stretching(header: bytes, name: str) -> Stretching:
    try:
        content = json.loads(header)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FormatError(f"{name!r} is no export of a gallery; make one: `xnn gallery export`")
    if content.get("version") != FORMAT_VERSION:
        raise VersionError(
            f"{name!r} has format {str(content.get('version'))[:20]}, this program reads "
            f"{FORMAT_VERSION}; use the program that wrote it"
        )
    return parse_stretching(content.get("stretching"))


def _parse(content: bytes, name: str) -> _Part:
    try:
        size = int.from_bytes(content[:4], "big")
        facts: dict[str, Any] = json.loads(content[4 : 4 + size])
        infos = tuple(_info(entry) for entry in facts["templates"])
        vectors = np.frombuffer(content, "<f4", offset=4 + size).astype(np.float32)
        shaped = vectors.reshape(len(infos), facts["width"])
        return _Part(tuple(SubjectId(s) for s in facts["subjects"]), infos, shaped)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{name!r} opens, but is no export of this program") from error


def _info(entry: dict[str, Any]) -> TemplateInfo:
    key_id = entry["key_id"]
    return TemplateInfo(
        template_id=entry["template_id"],
        subject_id=SubjectId(entry["subject_id"]),
        bundle_id=entry["bundle_id"],
        key_id=None if key_id is None else KeyId(key_id),
        created_ms=entry["created_ms"],
    )


def _no_vectors() -> Float32[np.ndarray, "0 0"]:
    return np.zeros((0, 0), np.float32)
