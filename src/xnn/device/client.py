"""A service's client: photographs in, verdicts out; only protected records leave."""

import time
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
class Client:
    """Talks to one service with one API key. May be used from several threads; close it.

    Nothing is sent before the service has said that it reads this device's records. What is not
    answered is tried again with the same request id, so that nothing is enrolled twice.

    Args:
        url: Address of the service.
        api_key: As the operator gave it; None reads `XNN_API_KEY`. See `read_api_key` for a file.
        bundle: Folder of the device bundle, or an open pipeline.
        tls: Other certificates than the system's.
        patience: Time-outs and attempts.
        dtype: How numbers travel: float32, float16 or int8; None takes the shortest that the
            service's student survives.
        allow_plain_http: Let key and records cross a network without TLS.

    Raises:
        ConfigError: An address or setting that cannot be used.
        AccessError: No API key, or a malformed one.
        FormatError, CorruptError: The bundle; see `load_device_bundle`.

    Every method that asks the service raises, besides what it names:
        ServiceError: It refused (with `status` and `problem`) or did not answer.
        BundleMismatchError: It reads records of another bundle; nothing was sent.

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
        self._http = httpx.Client(**httpx_settings(address, key, patience, tls or TlsFiles()))
        self._unnamed = address.startswith("https:") and (tls is None or tls.certificate is None)
        self._shown = f"Client({address!r}, {key!r})"

    def __repr__(self) -> str:
        return self._shown

    def service(self) -> ServiceFacts:
        """Return what the service says of itself; asked once."""
        return self._carry_out(self._operations.facts())

    def enrol(
        self,
        subject_id: str,
        photos: Photos,
        *,
        create: bool = True,
        request_id: str | None = None,
    ) -> tuple[TemplateFacts, ...]:
        """Store one template for each photograph, all or none.

        Args:
            subject_id: An opaque name: 1 to 128 of A-Z a-z 0-9 . _ -.
            photos: One or more of this subject; or what `DevicePipeline.prepare` made of them.
            create: Make the subject if it is missing.
            request_id: 32 hexadecimal digits; a caller that may die and come again gives the same
                and enrols once.

        Returns:
            The templates, as the service keeps them.

        Raises:
            FacesError: A photograph cannot be used; nothing was sent.
            LimitError: More photographs than the service takes at once.
        """
        return self._carry_out(
            self._operations.enrol(subject_id, photos, create=create, request_id=request_id)
        )

    def verify(
        self, subject_id: str, photo: Photo | Prepared, *, far: float | None = None
    ) -> Verdict:
        """Say whether a photograph shows a subject.

        Args:
            subject_id: Enrolled.
            photo: Of one face.
            far: False accept rate, a fraction; None takes the service's.

        Raises:
            FacesError: The photograph cannot be used.
        """
        return self._carry_out(self._operations.verify(subject_id, photo, far=far))

    def search(
        self, photo: Photo | Prepared, *, top_k: int = 5, far: float | None = None
    ) -> SearchResult:
        """Find who is on a photograph; see `verify`.

        Args:
            photo: Of one face.
            top_k: At most so many.
            far: False accept rate of one comparison, a fraction; None takes the service's.
        """
        return self._carry_out(self._operations.search(photo, top_k=top_k, far=far))

    def create_subject(self, subject_id: str) -> None:
        """Add a subject without templates."""
        self._carry_out(self._operations.create_subject(subject_id))

    def subjects(self, *, after: str = "", limit: int = 100) -> SubjectPage:
        """Return subjects in order of their names, after one."""
        return self._carry_out(self._operations.subjects(after=after, limit=limit))

    def delete_subject(self, subject_id: str) -> None:
        """Erase a subject and its templates."""
        self._carry_out(self._operations.delete_subject(subject_id))

    def templates(self, subject_id: str) -> tuple[TemplateFacts, ...]:
        """Return the templates of a subject, oldest first."""
        return self._carry_out(self._operations.templates(subject_id))

    def erase_template(self, template_id: str) -> None:
        """Erase one template."""
        self._carry_out(self._operations.erase_template(template_id))

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _carry_out(self, steps: Steps[T]) -> T:
        outcome: Any = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                value: T = end.value
                return value
            outcome = self._do(step)

    def _do(self, step: Step) -> Any:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return step.job() if isinstance(step, Work) else self._send(step)

    def _send(self, request: Request) -> Answer | Fault:
        try:
            with self._http.stream(**request_settings(request)) as response:
                content = b""
                for part in response.iter_bytes():
                    content += part
                    if len(content) > LARGEST_ANSWER_BYTES:
                        raise too_large()
                return Answer(
                    status=response.status_code, headers=dict(response.headers), content=content
                )
        except httpx.HTTPError as error:
            return fault_of(error, unnamed=self._unnamed)
