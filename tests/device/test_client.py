"""The client against a service that answers as a script says: what leaves, retries, refusals."""

import asyncio
import copy
import dataclasses
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnn.device.api_key import ApiKey
from xnn.device.async_client import AsyncClient
from xnn.device.client import Client
from xnn.device.exchange import Patience
from xnn.device.pipeline import DevicePipeline
from xnn.errors import (
    AccessError,
    BundleMismatchError,
    ConfigError,
    FacesError,
    LimitError,
    ServiceError,
)
from xnn.wire.codec import decode
from xnn.wire.limits import WireLimits
from xnn.wire.message import Message

KEY = "xnn_0123456789ab_" + "A" * 43
HASTY = Patience(first_pause_s=0.01, longest_pause_s=0.02, answer_s=5.0, total_s=20.0)
TEMPLATE = {
    "template_id": "5f" * 16,
    "subject_id": "badge-1",
    "bundle_id": "3b" * 32,
    "key_id": None,
    "created_ms": 1,
}
VERDICT = {"results": [{"score": 0.83, "match": True}], "threshold": 0.41, "far": 0.01}


@pytest.fixture
def client(service, pipeline: DevicePipeline) -> Iterator[Client]:
    with Client(service.url, KEY, pipeline, patience=HASTY) as client:
        yield client


@pytest.fixture
def photo(orl_photos: Path) -> Path:
    return orl_photos / "s3" / "1.pgm"


def opened(content: bytes) -> Message:
    return decode(content, ApiKey(KEY).mac_key, limits=WireLimits())


def test_enrolment_sends_records_and_nothing_else(
    client: Client, service, pipeline: DevicePipeline, photo: Path
) -> None:
    service.script = [service.Reply(201, {"templates": [TEMPLATE, TEMPLATE]})]
    templates = client.enrol("badge-1", [photo, photo.read_bytes()])
    assert [t.template_id for t in templates] == ["5f" * 16] * 2
    (seen,) = service.seen
    assert (seen.method, seen.path) == ("POST", "/v1/subjects/badge-1/templates?create=true")
    assert seen.headers["Authorization"] == f"Bearer {KEY}"
    assert seen.headers["Content-Type"] == "application/vnd.xnn.records"
    message = opened(seen.content)
    card = pipeline.bundle.card
    assert message.records.shape == (2, card.m, card.e)
    assert (message.bundle_id, message.scheme, message.dtype) == (card.front_id, "xnn", "fixed32")
    assert abs(message.timestamp_ms - 1000 * time.time()) < 60_000
    assert len(seen.content) < 48 + 512 + 4 * message.records.size
    pixels = photo.read_bytes()
    assert not [i for i in range(0, len(pixels) - 16, 16) if pixels[i : i + 16] in seen.content]


def test_one_request_id_and_fresh_nonces_through_a_service_that_fails_twice(
    client: Client, service, photo: Path
) -> None:
    service.script = [
        service.problem(503, "busy", Retry_After="0"),
        service.Reply(drop=True),
        service.Reply(201, {"templates": [TEMPLATE]}),
    ]
    client.enrol("badge-1", [photo])
    messages = [opened(seen.content) for seen in service.seen]
    assert len(messages) == 3
    assert len({m.request_id for m in messages}) == 1
    assert len({m.nonce for m in messages}) == 3
    assert messages[0].timestamp_ms <= messages[-1].timestamp_ms
    assert (messages[0].records == messages[2].records).all()


def test_the_callers_request_id_goes_along(client: Client, service, photo: Path) -> None:
    service.script = [service.Reply(201, {"templates": [TEMPLATE]})]
    request_id = secrets.token_hex(16)
    client.enrol("badge-1", [photo], create=False, request_id=request_id)
    assert opened(service.seen[0].content).request_id == request_id
    assert service.seen[0].path == "/v1/subjects/badge-1/templates"
    with pytest.raises(ConfigError, match="32 hexadecimal digits"):
        client.enrol("badge-1", [photo], request_id="mine")


def test_patience_ends(client: Client, service, photo: Path) -> None:
    service.script = [service.problem(503, "busy", "the gallery is locked", Retry_After="0")] * 9
    with pytest.raises(
        ServiceError, match=r"busy: the gallery is locked \(after 4 attempts\)"
    ) as e:
        client.verify("badge-1", photo)
    assert (e.value.status, e.value.problem) == (503, "busy")
    assert len(service.seen) == 4


def test_a_long_wait_is_told_and_not_slept(client: Client, service, photo: Path) -> None:
    service.script = [service.problem(429, "too-many-requests", Retry_After="3600")]
    start = time.monotonic()
    with pytest.raises(ServiceError, match="status 429"):
        client.search(photo)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "invalid-message"), (401, "no-access"), (403, "missing-role"), (404, "unknown-name")],
)
def test_what_will_not_pass_is_not_tried_again(
    client: Client, service, photo: Path, status: int, name: str
) -> None:
    service.script = [service.problem(status, name, "for a reason")] * 2
    with pytest.raises(ServiceError, match=rf"refused \(status {status}\): .*for a reason") as e:
        client.verify("badge-1", photo)
    assert (e.value.status, e.value.problem) == (status, name)
    assert len(service.seen) == 1


def test_a_message_called_stale_is_made_anew_once(client: Client, service, photo: Path) -> None:
    stale = service.problem(409, "stale-message", "the device's clock is ahead: set it")
    service.script = [stale, service.Reply(200, VERDICT)]
    assert client.verify("badge-1", photo).match
    service.script = [stale, stale, service.Reply(200, VERDICT)]
    with pytest.raises(ServiceError, match="clock is ahead: set it"):
        client.verify("badge-1", photo)


def test_verdicts_and_candidates_are_read(client: Client, service, photo: Path) -> None:
    service.script = [
        service.Reply(200, VERDICT),
        service.Reply(
            200,
            {
                "results": [
                    {"candidates": [{"subject_id": "a", "template_id": "t", "score": None}]}
                ],
                "threshold": 0.4,
                "far": 0.001,
                "gallery_size": 9,
            },
        ),
    ]
    verdict = client.verify("badge-1", photo, far=0.001)
    assert (verdict.match, verdict.score, verdict.threshold) == (True, 0.83, 0.41)
    found = client.search(photo, top_k=3, far=0.001)
    assert [c.subject_id for c in found.candidates] == ["a"]
    assert found.candidates[0].score is None
    assert found.gallery_size == 9
    paths = [seen.path for seen in service.seen]
    assert paths == ["/v1/subjects/badge-1/verify?far=0.001", "/v1/search?top_k=3&far=0.001"]


@pytest.mark.parametrize(
    "content",
    [
        b"<html>welcome</html>",
        b"[]",
        b"",
        {},
        VERDICT | {"results": []},
        VERDICT | {"threshold": "high"},
        VERDICT | {"results": [{"score": True, "match": True}]},
        VERDICT | {"results": [{"score": 0.2, "match": "yes"}]},
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_none_of_ours_is_refused(
    client: Client, service, photo: Path, content: object
) -> None:
    service.script = [service.Reply(200, content)]
    with pytest.raises(ServiceError, match="the service answered"):
        client.verify("badge-1", photo)


def test_a_refusal_without_a_problem_is_told_too(client: Client, service, photo: Path) -> None:
    service.script = [service.Reply(418, b"<html>teapot\x1b[31m</html>")]
    with pytest.raises(ServiceError, match=r"\(status 418\): no reason was given") as e:
        client.verify("badge-1", photo)
    assert e.value.problem == ""
    service.script = [service.problem(400, "x", "two\nlines \x1b[31mred")]
    with pytest.raises(ServiceError) as e:
        client.verify("badge-1", photo)
    assert str(e.value).isprintable()


def test_redirects_are_not_followed(client: Client, service, photo: Path) -> None:
    service.script = [service.Reply(307, b"", {"Location": "http://elsewhere.example/"})]
    with pytest.raises(ServiceError, match="points elsewhere"):
        client.verify("badge-1", photo)


def test_an_endless_answer_is_cut_off(
    client: Client, service, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xnn.device import client as module

    monkeypatch.setattr(module, "LARGEST_ANSWER_BYTES", 100)
    service.script = [service.Reply(200, b" " * 101)]
    with pytest.raises(ServiceError, match="is this the address of an XNN service"):
        client.verify("badge-1", photo)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bundle_id": "ab" * 32}, "the service reads records of bundle abababababab"),
        ({"m": 7}, "the service reads 7x20 in wire format 1"),
        ({"wire_version": 2}, "in wire format 2"),
        ({"dtypes": ["float64"]}, "agree on none of int8, float16, fixed32, float32"),
    ],
)
def test_a_service_of_another_bundle_gets_nothing(
    client: Client, service, photo: Path, changes: dict[str, object], told: str
) -> None:
    service.facts |= changes
    with pytest.raises(BundleMismatchError, match=told):
        client.enrol("badge-1", [photo])
    assert service.seen == []


def test_the_shortest_dtype_that_both_bundles_name_is_taken(
    service, pipeline: DevicePipeline, photo: Path
) -> None:
    card = dataclasses.replace(pipeline.bundle.card, dtypes=("float32", "float16"))
    other = copy.copy(pipeline)
    other.bundle = copy.copy(pipeline.bundle)
    other.bundle.card = card
    service.facts |= {"dtypes": ["float32", "float16", "int8"]}
    service.script = [service.Reply(200, VERDICT)] * 2
    with Client(service.url, KEY, other) as client:
        client.verify("badge-1", photo)
    with Client(service.url, KEY, other, dtype="float32") as client:
        client.verify("badge-1", photo)
    assert [opened(seen.content).dtype for seen in service.seen] == ["float16", "float32"]
    with (
        Client(service.url, KEY, other, dtype="int8") as client,
        pytest.raises(ConfigError, match="dtype=int8: the service's student survives float32"),
    ):
        client.verify("badge-1", photo)
    with pytest.raises(ConfigError, match="dtype='int4'"):
        Client(service.url, KEY, other, dtype="int4")


def test_no_face_and_too_many_photographs_send_nothing(
    client: Client, service, photo: Path, tmp_path: Path
) -> None:
    from PIL import Image

    wall = tmp_path / "wall.png"
    Image.new("RGB", (200, 200)).save(wall)
    with pytest.raises(FacesError, match=r"'wall.png' shows no face"):
        client.enrol("badge-1", [photo, wall])
    with pytest.raises(LimitError, match="5 photographs at once, the service takes 4"):
        client.enrol("badge-1", [photo] * 5)
    assert service.seen == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ä", "x" * 129, "a%2fb", "a?b"])
def test_names_that_are_no_subjects_never_get_into_an_address(
    client: Client, service, photo: Path, name: str
) -> None:
    for call in (
        lambda: client.enrol(name, [photo]),
        lambda: client.verify(name, photo),
        lambda: client.delete_subject(name),
        lambda: client.create_subject(name),
    ):
        with pytest.raises(ConfigError, match=f"subject_id of {len(name)} characters"):
            call()
    with pytest.raises(ConfigError, match="32 hexadecimal digits"):
        client.erase_template("../subjects/a")
    assert service.seen == []


def test_subjects_and_templates_are_managed(client: Client, service) -> None:
    service.script = [
        service.Reply(201, {"subject_id": "a.b-c", "templates": 0}),
        service.Reply(200, {"subjects": ["a.b-c"], "next": None}),
        service.Reply(200, {"templates": [TEMPLATE]}),
        service.Reply(200, {}),
        service.Reply(204, b""),
    ]
    client.create_subject("a.b-c")
    assert client.subjects(after="a", limit=7).subjects == ("a.b-c",)
    assert client.templates("a.b-c")[0].created_ms == 1
    client.erase_template("5f" * 16)
    client.delete_subject("a.b-c")
    assert [(s.method, s.path) for s in service.seen] == [
        ("POST", "/v1/subjects"),
        ("GET", "/v1/subjects?after=a&limit=7"),
        ("GET", "/v1/subjects/a.b-c/templates"),
        ("DELETE", "/v1/templates/" + "5f" * 16),
        ("DELETE", "/v1/subjects/a.b-c"),
    ]
    assert service.seen[0].content == b'{"subject_id":"a.b-c"}'


def test_a_deletion_whose_answer_was_lost_is_done(client: Client, service) -> None:
    gone = service.problem(404, "unknown-name")
    service.script = [service.Reply(drop=True), gone, gone]
    client.delete_subject("a")
    with pytest.raises(ServiceError, match="status 404"):
        client.delete_subject("a")


def test_a_service_that_is_away_is_told(pipeline: DevicePipeline, photo: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", KEY, pipeline, patience=HASTY) as client,
        pytest.raises(ServiceError, match=r"no connection; is it running.*after 4 attempts"),
    ):
        client.search(photo)


def test_a_service_that_says_nothing_is_left(pipeline: DevicePipeline, photo: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        patience = Patience(answer_s=0.2, attempts=2, first_pause_s=0.01, longest_pause_s=0.01)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Client(url, KEY, pipeline, patience=patience) as client,
            pytest.raises(ServiceError, match="it took too long"),
        ):
            client.search(photo)


def test_the_async_client_says_and_does_the_same(
    service, pipeline: DevicePipeline, photo: Path
) -> None:
    service.script = [
        service.Reply(drop=True),
        service.problem(503, "busy", Retry_After="0"),
        service.Reply(201, {"templates": [TEMPLATE]}),
        service.Reply(200, VERDICT),
        service.problem(404, "unknown-name"),
    ]

    async def run() -> None:
        async with AsyncClient(service.url, KEY, pipeline, patience=HASTY) as client:
            assert "AAAA" not in repr(client)
            facts = await client.service()
            assert facts.max_records == 4
            assert len(await client.enrol("badge-1", [photo])) == 1
            assert (await client.verify("badge-1", photo)).match
            with pytest.raises(ServiceError, match="status 404"):
                await client.templates("badge-1")
            with pytest.raises(FacesError, match="cannot use"):
                await client.search(b"none")

    asyncio.run(run())
    messages = [opened(seen.content) for seen in service.seen[:3]]
    assert len({m.request_id for m in messages}) == 1
    assert len({m.nonce for m in messages}) == 3


def test_both_clients_have_the_same_methods() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in vars(cls) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)


def test_an_event_loop_is_not_held_up_by_photographs(
    service, pipeline: DevicePipeline, photo: Path
) -> None:
    service.script = [service.Reply(200, VERDICT)]
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async def run() -> None:
        async with AsyncClient(service.url, KEY, pipeline) as client:
            other = asyncio.create_task(tick())
            await client.verify("badge-1", photo)
            other.cancel()

    asyncio.run(run())
    assert ticks > 5


def test_the_key_is_shown_nowhere(client: Client, service, photo: Path) -> None:
    assert "AAAA" not in repr(client)
    assert "0123456789ab" in repr(client)
    service.script = [service.problem(401, "no-access", "unknown key")]
    with pytest.raises(ServiceError) as e:
        client.verify("badge-1", photo)
    assert "AAAA" not in str(e.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://faces.example:8000", "http://faces.example: the API key and all records"),
        ("http://192.168.1.9", "would cross the network in the clear"),
        ("http://localhost.example", "would cross the network in the clear"),
        ("ftp://127.0.0.1", "expected https://host"),
        ("faces.example", "expected https://host"),
        ("https://", "expected https://host"),
        ("https://host:port", "expected https://host"),
        ("https://me:secret@host", "expected no name, password"),
        ("https://host/?a=b", "expected no name, password"),
    ],
)
def test_addresses_that_are_refused(pipeline: DevicePipeline, url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as e:
        Client(url, KEY, pipeline)
    assert "secret@" not in str(e.value)


def test_plain_http_to_others_is_by_leave_only(pipeline: DevicePipeline) -> None:
    Client("http://faces.example", KEY, pipeline, allow_plain_http=True).close()
    for url in ("http://localhost:1", "http://127.0.0.9:1/", "http://[::1]:1", "https://h.example"):
        Client(url, KEY, pipeline).close()


def test_no_key_no_client(pipeline: DevicePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XNN_API_KEY", raising=False)
    with pytest.raises(AccessError, match="set XNN_API_KEY"):
        Client("http://localhost", None, pipeline)
    monkeypatch.setenv("XNN_API_KEY", KEY)
    Client("http://localhost", None, pipeline).close()


def test_patience_is_checked() -> None:
    for wrong in ({"attempts": 0}, {"answer_s": 0.0}, {"first_pause_s": 9.0}, {"total_s": -1.0}):
        with pytest.raises(ConfigError):
            Patience(**wrong)
    pauses = [Patience(first_pause_s=1.0, longest_pause_s=4.0).pause_s(n) for n in (1, 2, 3, 9)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, (1, 2, 4, 4), strict=True))
