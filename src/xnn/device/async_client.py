"""The same client for an event loop."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, final

import httpx

from xnn.device.answers import (
    SearchResult,
    ServiceFacts,
    SubjectPage,
    TemplateFacts,
    Verdict,
)
from xnn.device.api_key import ApiKey, as_api_key
from xnn.device.exchange import Answer, Fault, Patience, Pause, Request, Step, Steps, T, Work
from xnn.device.operations import Operations, Photos
from xnn.device.pipeline import DevicePipeline, Photo, Prepared
from xnn.device.transport import (
    LARGEST_ANSWER_BYTES,
    TlsFiles,
    check_address,
    fault_of,
    httpx_settings,
    request_settings,
    too_large,
)


@final
class AsyncClient:
    """See `Client`: the same arguments, methods and errors; photographs are worked on in a thread.

    Trust: device.
    """

    def __init__(
        self,
        url: str,
        api_key: str | ApiKey | None,
        bundle: str | Path | DevicePipeline,
        *,
        tls: TlsFiles | None = None,
        patience: Patience | None = None,
        dtype: str | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        address = check_address(url, allow_plain_http=allow_plain_http)
        key = as_api_key(api_key)
        patience = patience or Patience()
        self._operations = Operations(key, bundle, patience=patience, dtype=dtype)
        self._http = httpx.AsyncClient(**httpx_settings(address, key, patience, tls or TlsFiles()))
        self._unnamed = address.startswith("https:") and (tls is None or tls.certificate is None)
        self._shown = f"AsyncClient({address!r}, {key!r})"

    def __repr__(self) -> str:
        return self._shown

    async def service(self) -> ServiceFacts:
        """See `Client.service`."""
        return await self._carry_out(self._operations.facts())

    async def enrol(
        self,
        subject_id: str,
        photos: Photos,
        *,
        create: bool = True,
        request_id: str | None = None,
    ) -> tuple[TemplateFacts, ...]:
        """See `Client.enrol`."""
        return await self._carry_out(
            self._operations.enrol(subject_id, photos, create=create, request_id=request_id)
        )

    async def verify(
        self, subject_id: str, photo: Photo | Prepared, *, far: float | None = None
    ) -> Verdict:
        """See `Client.verify`."""
        return await self._carry_out(self._operations.verify(subject_id, photo, far=far))

    async def search(
        self, photo: Photo | Prepared, *, top_k: int = 5, far: float | None = None
    ) -> SearchResult:
        """See `Client.search`."""
        return await self._carry_out(self._operations.search(photo, top_k=top_k, far=far))

    async def create_subject(self, subject_id: str) -> None:
        """See `Client.create_subject`."""
        await self._carry_out(self._operations.create_subject(subject_id))

    async def subjects(self, *, after: str = "", limit: int = 100) -> SubjectPage:
        """See `Client.subjects`."""
        return await self._carry_out(self._operations.subjects(after=after, limit=limit))

    async def delete_subject(self, subject_id: str) -> None:
        """See `Client.delete_subject`."""
        await self._carry_out(self._operations.delete_subject(subject_id))

    async def templates(self, subject_id: str) -> tuple[TemplateFacts, ...]:
        """See `Client.templates`."""
        return await self._carry_out(self._operations.templates(subject_id))

    async def erase_template(self, template_id: str) -> None:
        """See `Client.erase_template`."""
        await self._carry_out(self._operations.erase_template(template_id))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _carry_out(self, steps: Steps[T]) -> T:
        outcome: Any = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                value: T = end.value
                return value
            outcome = await self._do(step)

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        return (
            await asyncio.to_thread(step.job) if isinstance(step, Work) else await self._send(step)
        )

    async def _send(self, request: Request) -> Answer | Fault:
        try:
            async with self._http.stream(**request_settings(request)) as response:
                content = b""
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > LARGEST_ANSWER_BYTES:
                        raise too_large()
                return Answer(
                    status=response.status_code, headers=dict(response.headers), content=content
                )
        except httpx.HTTPError as error:
            return fault_of(error, unnamed=self._unnamed)
