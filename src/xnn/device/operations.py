"""What a device does with the service, as steps; the one core of both clients."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final
from urllib.parse import quote

from xnn.device.answers import (
    SearchResult,
    ServiceFacts,
    SubjectPage,
    TemplateFacts,
    Verdict,
    read_facts,
    read_search,
    read_subjects,
    read_templates,
    read_verdict,
)
from xnn.device.api_key import ApiKey
from xnn.device.card import DeviceCard
from xnn.device.exchange import Answer, Patience, Request, Steps, Work, attempt
from xnn.device.pipeline import DevicePipeline, Photo, Prepared, open_pipeline
from xnn.errors import BundleMismatchError, ConfigError, LimitError
from xnn.wire.codec import encode
from xnn.wire.compose import compose, renew
from xnn.wire.layout import VERSION
from xnn.wire.message import MEDIA_TYPE, Message, WireDtype
from xnn.wire.numbers import DTYPES

_SUBJECT = re.compile(r"\.{0,127}[A-Za-z0-9_-][A-Za-z0-9._-]*", re.ASCII)
_LONGEST_SUBJECT = 128
_HEX_32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_GONE = "unknown-name"
_SHORTEST_FIRST: tuple[WireDtype, ...] = ("int8", "float16", "fixed32", "float32")

Photos = Sequence[Photo] | Prepared
"""Photographs, or what a pipeline of the same bundle has made of them."""


@final
class Operations:
    """Everything between the caller's words and HTTP.

    Args:
        api_key: Who the device is.
        bundle: Folder of the device bundle, or what was made of it.
        patience: How long and how often.
        dtype: How numbers travel; None takes the shortest that the service's student survives.

    Trust: device.
    """

    def __init__(
        self,
        api_key: ApiKey,
        bundle: str | Path | DevicePipeline,
        *,
        patience: Patience,
        dtype: str | None,
    ) -> None:
        if dtype is not None and dtype not in DTYPES:
            raise ConfigError(f"dtype={dtype!r}; use one of {', '.join(DTYPES)}")
        self.pipeline = (
            bundle if isinstance(bundle, DevicePipeline) else open_pipeline(Path(bundle))
        )
        self.patience = patience
        self._api_key = api_key
        self._dtype = dtype
        self._facts: ServiceFacts | None = None

    def facts(self) -> Steps[ServiceFacts]:
        """Ask the service what it is, once, and refuse one that these records are not for."""
        if self._facts is None:
            answer = yield from self._ask(lambda _: Request(method="GET", path="/v1/bundle"))
            facts = read_facts(answer)
            self._check(facts)
            self._facts = facts
        return self._facts

    def enrol(
        self, subject_id: str, photos: Photos, *, create: bool, request_id: str | None
    ) -> Steps[tuple[TemplateFacts, ...]]:
        """Store one template for each photograph."""
        path = f"{_subject_path(subject_id)}/templates"
        query = {"create": "true"} if create else {}
        answer = yield from self._send(path, query, photos, request_id)
        return read_templates(answer)

    def verify(
        self, subject_id: str, photo: Photo | Prepared, *, far: float | None
    ) -> Steps[Verdict]:
        """Compare a photograph with one subject."""
        path = f"{_subject_path(subject_id)}/verify"
        answer = yield from self._send(path, _query(far=far), _only(photo))
        return read_verdict(answer)

    def search(
        self, photo: Photo | Prepared, *, top_k: int, far: float | None
    ) -> Steps[SearchResult]:
        """Find who is on a photograph."""
        answer = yield from self._send("/v1/search", _query(top_k=top_k, far=far), _only(photo))
        return read_search(answer)

    def create_subject(self, subject_id: str) -> Steps[None]:
        """Add a subject without templates."""
        body = b'{"subject_id":"%s"}' % _known_form(subject_id).encode()
        yield from self._ask(
            lambda _: Request(
                method="POST", path="/v1/subjects", content=body, media_type="application/json"
            )
        )

    def subjects(self, *, after: str, limit: int) -> Steps[SubjectPage]:
        """List subjects."""
        query = _query(after=after or None, limit=limit)
        answer = yield from self._ask(
            lambda _: Request(method="GET", path="/v1/subjects", query=query)
        )
        return read_subjects(answer)

    def delete_subject(self, subject_id: str) -> Steps[None]:
        """Erase a subject."""
        yield from self._erase(_subject_path(subject_id))

    def templates(self, subject_id: str) -> Steps[tuple[TemplateFacts, ...]]:
        """List a subject's templates."""
        path = f"{_subject_path(subject_id)}/templates"
        answer = yield from self._ask(lambda _: Request(method="GET", path=path))
        return read_templates(answer)

    def erase_template(self, template_id: str) -> Steps[None]:
        """Erase one template."""
        if not _HEX_32.fullmatch(template_id):
            raise ConfigError(
                f"template_id of {len(template_id)} characters, expected 32 hexadecimal digits; "
                "take it from the list of templates"
            )
        yield from self._erase(f"/v1/templates/{template_id}")

    def _send(
        self,
        path: str,
        query: dict[str, str],
        photos: Photos,
        request_id: str | None = None,
    ) -> Steps[Answer]:
        if request_id is not None and not _HEX_32.fullmatch(request_id):
            raise ConfigError("request_id has 32 hexadecimal digits: secrets.token_hex(16)")
        facts = yield from self.facts()
        count = len(photos.records) if isinstance(photos, Prepared) else len(photos)
        if count > facts.max_records:
            raise LimitError(
                f"{count} photographs at once, the service takes {facts.max_records}; "
                "send them in parts"
            )
        prepared: Prepared = yield Work(
            lambda: photos if isinstance(photos, Prepared) else self.pipeline.prepare(photos)
        )
        message = message_of(prepared, self.pipeline.bundle.card, self._dtype_for(facts))
        if request_id is not None:
            message = dataclasses.replace(message, request_id=request_id)

        def make(number: int) -> Request:
            content = encode(message if number == 1 else renew(message), self._api_key.mac_key)
            return Request(
                method="POST", path=path, query=query, content=content, media_type=MEDIA_TYPE
            )

        return (yield from self._ask(make))

    def _ask(self, make: Callable[[int], Request]) -> Steps[Answer]:
        return (yield from attempt(make, self.patience)).answer

    def _erase(self, path: str) -> Steps[None]:
        yield from attempt(
            lambda _: Request(method="DELETE", path=path), self.patience, settled_by=_GONE
        )

    def _check(self, facts: ServiceFacts) -> None:
        card = self.pipeline.bundle.card
        if facts.bundle_id != card.front_id:
            raise BundleMismatchError(
                f"the service reads records of bundle {facts.bundle_id[:12]}, this device has "
                f"bundle {card.front_id[:12]}; nothing was sent: get the device bundle that was "
                "exported with the service's"
            )
        if (facts.m, facts.e) != (card.m, card.e) or facts.wire_version != VERSION:
            raise BundleMismatchError(
                f"the service reads {facts.m}x{facts.e} in wire format {facts.wire_version}, this "
                f"device sends {card.m}x{card.e} in {VERSION}; nothing was sent: use versions "
                "that fit each other"
            )
        self._dtype_for(facts)

    def _dtype_for(self, facts: ServiceFacts) -> WireDtype:
        card = self.pipeline.bundle.card
        return choose_dtype([d for d in card.dtypes if d in facts.dtypes], self._dtype)


def _only(photo: Photo | Prepared) -> Photos:
    if not isinstance(photo, Prepared):
        return [photo]
    if len(photo.records) != 1:
        raise ConfigError(
            f"{len(photo.records)} photographs were prepared, one is compared at a time"
        )
    return photo


def message_of(prepared: Prepared, card: DeviceCard, dtype: WireDtype) -> Message:
    """Return what would travel of some photographs."""
    return compose(prepared.records, scheme=card.scheme, bundle_id=card.front_id, dtype=dtype)


def choose_dtype(dtypes: Sequence[str], asked: str | None = None) -> WireDtype:
    """Return the dtype asked for, or that of the fewest bytes.

    Args:
        dtypes: That the student survives.
        asked: One of them; None takes the shortest.

    Raises:
        ConfigError: The one asked for is not among them.
        BundleMismatchError: None of them is known here.
    """
    if asked is not None and asked not in dtypes:
        raise ConfigError(
            f"dtype={asked}: the service's student survives {', '.join(dtypes) or 'none'} only; "
            "choose one of them"
        )
    for dtype in _SHORTEST_FIRST:
        if dtype in dtypes and asked in (None, dtype):
            return dtype
    raise BundleMismatchError(
        f"service and device bundle agree on none of {', '.join(_SHORTEST_FIRST)}; use bundles "
        "that were exported together"
    )


def _known_form(subject_id: str) -> str:
    if len(subject_id) > _LONGEST_SUBJECT or not _SUBJECT.fullmatch(subject_id):
        raise ConfigError(
            f"subject_id of {len(subject_id)} characters, expected 1 to {_LONGEST_SUBJECT} of "
            "A-Z a-z 0-9 . _ -, not dots alone; name subjects by an opaque number"
        )
    return subject_id


def _subject_path(subject_id: str) -> str:
    return f"/v1/subjects/{quote(_known_form(subject_id), safe='')}"


def _query(**given: int | float | str | None) -> dict[str, str]:
    return {name: str(value) for name, value in given.items() if value is not None}
