"""What routes ask for: the service, who calls, and the message that came."""

from dataclasses import dataclass, field
from typing import Annotated, final

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from xnn.accounts import ApiKey
from xnn.errors import AccessError, BundleMismatchError, MediaTypeError, RoleError
from xnn.server.asgi.observe import NOTES
from xnn.server.service import Service
from xnn.wire.authenticity import mac_key
from xnn.wire.codec import decode
from xnn.wire.message import MEDIA_TYPE, Message


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, by the API key."""

    key: ApiKey
    mac_key: bytes = field(repr=False)
    """Of the messages that come with this API key."""

    @property
    def tenant(self) -> str:
        """Whose gallery the call is about."""
        return self.key.tenant

    @property
    def name(self) -> str:
        """Return the public name of the API key."""
        return self.key.name


async def the_service(request: Request) -> Service:
    """Return the service that the application was made for."""
    # A coroutine: FastAPI would take any other function to a thread and back.
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(the_service)]


@final
class _HolderOf(HTTPBearer):
    """Lets in who holds an API key with one of some roles; any role where none is named."""

    def __init__(self, *roles: str) -> None:
        super().__init__(
            scheme_name=HTTPBearer.__name__,
            auto_error=False,
            description="An API key, `xnn_NAME_SECRET`. The same secret authenticates messages.",
        )
        self._roles = frozenset(roles)

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]
        """Return who calls.

        Raises:
            AccessError: No API key, or not a valid one.
            RoleError: A key without such a role.
            RateError: Too many requests of this key, or too many without one.
        """
        service = await the_service(request)
        credentials = await super().__call__(request)
        try:
            if credentials is None:
                raise AccessError(
                    "no API key: send it as `Authorization: Bearer xnn_...`; the operator makes "
                    "one with `xnn account new`"
                )
            key, secret = await service.identify(credentials.credentials)
        except AccessError:
            service.limits.failure(request.client.host if request.client else "unknown")
            raise
        request.scope[NOTES].update(key_name=key.name, tenant=key.tenant)
        service.limits.request(key.name)
        if self._roles and not key.roles & self._roles:
            raise RoleError(
                f"this API key has the role {' and '.join(sorted(key.roles))}, this needs "
                f"{' or '.join(sorted(self._roles))}; ask the operator for another key"
            )
        return Caller(key, mac_key(secret))


AnyCaller = Annotated[Caller, Depends(_HolderOf())]
Enroller = Annotated[Caller, Depends(_HolderOf("enrol"))]
Keeper = Annotated[Caller, Depends(_HolderOf("enrol", "admin"))]
"""May see and erase."""
Searcher = Annotated[Caller, Depends(_HolderOf("search"))]
Admin = Annotated[Caller, Depends(_HolderOf("admin"))]


async def read_message(request: Request, service: Service, caller: Caller) -> Message:
    """Read the body as a message for this service, made by this caller just now.

    Raises:
        MediaTypeError: Another content type. A picture never comes this far.
        TooLargeError: More bytes than the largest message has.
        WireError: Not a message, or not one of this caller.
        BundleMismatchError: Made with another bundle.
        StaleMessageError: Replayed, too old, or from the future.

    Trust: server. The body may be anybody's until this returns.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != MEDIA_TYPE:
        async for _ in request.stream():  # a picture among the first bytes is named as such
            break
        raise MediaTypeError(
            f"content type {content_type[:64]!r}; send a message of the device bundle as "
            f"{MEDIA_TYPE}: this service takes neither pictures nor JSON here"
        )
    content = await request.body()
    request.scope[NOTES]["body_bytes"] = len(content)
    message = decode(content, caller.mac_key, limits=service.wire_limits)
    _check_bundle(message, service)
    service.freshness.check(message, sender=caller.name)
    request.scope[NOTES]["records"] = len(message.records)
    return message


def _check_bundle(message: Message, service: Service) -> None:
    card = service.card
    if message.bundle_id != card.front_id:
        raise BundleMismatchError(
            f"made with the bundle {message.bundle_id[:16]}..., this service reads "
            f"{card.front_id[:16]}...; use the device bundle that GET /v1/bundle names"
        )
    if message.scheme != service.scheme:
        raise BundleMismatchError(
            f"made with the scheme {message.scheme[:32]!r}, this service reads "
            f"{service.scheme!r}; use the device bundle that GET /v1/bundle names"
        )
    if message.dtype not in service.dtypes:
        raise BundleMismatchError(
            f"numbers travel as {message.dtype}, this bundle survives "
            f"{', '.join(service.dtypes)} only; set the dtype of the device"
        )
    if message.records.shape[1:] != (card.m, card.e):
        found = "x".join(map(str, message.records.shape[1:]))
        raise BundleMismatchError(
            f"records of {found}, this bundle makes {card.m}x{card.e}; use its own device bundle"
        )
