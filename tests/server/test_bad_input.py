"""Whatever is wrong with a request: one clear answer, and the gallery as it was."""

import base64
import contextlib
import dataclasses
import io
import sqlite3
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from served import Caller, Running, problem
from xnn.wire.message import MEDIA_TYPE, Message

ENROL = "/v1/subjects/one/templates?create=true"


@pytest.fixture
def caller(shared: Running) -> Iterator[Caller]:
    with shared.caller() as made:
        yield made


@pytest.fixture
def records(faces_sent: dict[str, np.ndarray]) -> np.ndarray:
    return faces_sent["person-01"][:2]


@pytest.fixture(autouse=True)
def state_is_intact(shared: Running, faces_sent: dict[str, np.ndarray]) -> Iterator[None]:
    """Somebody enrolled stays just as enrolled, and the service ready."""
    with shared.caller("b") as other:
        if "kept" not in other.http.get("/v1/subjects").json()["subjects"]:
            other.enrol("kept", faces_sent["person-03"][:3])
        before = other.http.get("/v1/subjects/kept/templates").json()
        yield
        assert other.http.get("/v1/subjects/kept/templates").json() == before
        assert other.verify("kept", faces_sent["person-03"][:1], far=0.1).json()["results"][0][
            "match"
        ]
    with shared.caller() as caller:
        assert "one" not in caller.http.get("/v1/subjects").json()["subjects"]
    assert httpx.get(f"{shared.url}/readyz").status_code == 200


def test_cut_or_altered_messages(caller: Caller, records: np.ndarray) -> None:
    good = caller.encode(caller.message(records))
    rng = np.random.default_rng(0)
    bad = [good[:n] for n in (0, 1, 7, 15, 16, 40, len(good) // 2, len(good) - 1)]
    bad += [good + b"\0", b"\0" + good, b"hello", bytes(1000)]
    for place in rng.integers(len(good), size=25):
        flipped = bytearray(good)
        flipped[place] ^= 1 << int(rng.integers(8))
        bad.append(bytes(flipped))
    for content in bad:
        assert problem(caller.post(ENROL, content)) == (400, "invalid-message"), len(content)


def test_a_message_of_another_key_and_tenant(
    shared: Running, caller: Caller, records: np.ndarray
) -> None:
    with shared.caller("b") as other:
        stolen = other.encode(other.message(records))
    assert problem(caller.post(ENROL, stolen)) == (400, "invalid-message")


WRONG: list[tuple[dict[str, object], tuple[int, str]]] = [
    ({"bundle_id": "0" * 64}, (409, "bundle-mismatch")),
    ({"scheme": "plain"}, (409, "bundle-mismatch")),
    ({"records": np.zeros((1, 8, 256), np.float32)}, (409, "bundle-mismatch")),
    ({"records": np.zeros((1, 16, 255), np.float32)}, (409, "bundle-mismatch")),
    ({"records": np.zeros((1, 17, 256), np.float32)}, (400, "invalid-message")),
    ({"records": np.zeros((65, 16, 256), np.float32)}, (413, "too-large")),
    ({"records": np.full((1, 16, 256), 3e38, np.float32)}, (422, "unusable-records")),
]


@pytest.mark.parametrize(("changes", "answer"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_messages_for_something_else(
    caller: Caller, records: np.ndarray, changes: dict[str, object], answer: tuple[int, str]
) -> None:
    message = dataclasses.replace(caller.message(records), **changes)
    assert problem(caller.post(ENROL, message)) == answer


def test_numbers_that_are_none(caller: Caller, records: np.ndarray) -> None:
    """No writer of ours makes them; somebody with the key may."""
    from xnn.wire import codec

    for value in (np.nan, np.inf, -np.inf):
        message = caller.message(records)
        content = bytearray(caller.encode(message))
        start = bytes(content).index(records.tobytes())
        content[start : start + 4] = np.float32(value).tobytes()
        payload_end = start + records.nbytes
        content = bytes(content[:payload_end])
        content += codec.checksum(content)
        content += codec.tag_of(content, caller._mac_key)
        assert problem(caller.post(ENROL, content)) == (400, "invalid-message")


@pytest.mark.parametrize("seconds", [-3600, -301, 301, 3600])
def test_clock_skew_and_age(caller: Caller, records: np.ndarray, seconds: int) -> None:
    message = caller.message(records, timestamp_ms=int(1000 * (time.time() + seconds)))
    answer = caller.post(ENROL, message)
    assert problem(answer) == (409, "stale-message")
    assert "clock" in answer.json()["detail"]


def test_a_replay_of_each_kind(caller: Caller, records: np.ndarray) -> None:
    message = caller.message(records)
    assert caller.post("/v1/search?far=0.1", message).status_code == 200
    for path in ("/v1/search?far=0.1", ENROL, "/v1/subjects/one/verify"):
        assert problem(caller.post(path, message)) == (409, "stale-message")


def test_unknown_people(caller: Caller, records: np.ndarray) -> None:
    enrol = caller.enrol("one", records, create=False)
    assert problem(enrol) == (404, "unknown-name")
    assert problem(caller.verify("one", records)) == (404, "unknown-name")
    assert problem(caller.http.get("/v1/subjects/one")) == (404, "unknown-name")
    assert problem(caller.http.get("/v1/subjects/one/templates")) == (404, "unknown-name")
    assert problem(caller.http.delete("/v1/subjects/one")) == (404, "unknown-name")


def test_an_empty_gallery_finds_nobody(caller: Caller, records: np.ndarray) -> None:
    found = caller.search(records, far=0.1).json()
    assert found["results"] == [{"candidates": []}, {"candidates": []}]
    assert found["gallery_size"] == 0


@pytest.mark.parametrize(
    "name", ["", "a b", "ä", "a/b", "x" * 129, "%00", "..", ".", "a%0ab", "<script>"]
)
def test_names_that_are_none(caller: Caller, name: str) -> None:
    answer = caller.http.post("/v1/subjects", json={"subject_id": name})
    assert problem(answer) == (422, "invalid-request")
    if name:
        assert name not in answer.json()["detail"].replace("a string", "")[:0] + "".join(
            str(e.get("input")) for e in answer.json()["errors"]
        )


@pytest.mark.parametrize(
    "query",
    ["top_k=0", "top_k=51", "top_k=x", "far=0", "far=2", "far=nan", "far=0.02", "top_k=100000"],
)
def test_parameters_out_of_range(caller: Caller, records: np.ndarray, query: str) -> None:
    answer = caller.post(f"/v1/search?{query}", caller.message(records))
    assert problem(answer)[0] == 422
    if query == "far=0.02":
        assert "measured are: 0.1" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/subjects", b""),
        ("/v1/subjects", b"{"),
        ("/v1/subjects", b"[]"),
        ("/v1/subjects", b"[" * 5000),
        ("/v1/subjects", b"\xff\xfe"),
        ("/v1/subjects", b'{"subject_id": 5}'),
        ("/v1/subjects", b'{"subject_id": "x", "more": 1}'),
        ("/v1/keys", b'{"roles": []}'),
        ("/v1/keys", b'{"roles": ["root"]}'),
        ("/v1/keys", b'{"roles": ["admin"], "label": "\\u0000"}'),
        ("/v1/retire", b'{"bundle_id": null}'),
        ("/v1/retire", b'{"key_id": "a b"}'),
    ],
)
def test_json_that_is_not_as_documented(caller: Caller, path: str, body: bytes) -> None:
    answer = caller.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert problem(answer)[0] in (400, 422)


def a_picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (120, 90, 70)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pictures_are_refused_by_what_they_are(caller: Caller, kind: str) -> None:
    picture = a_picture(kind)
    for content_type in (f"image/{kind.lower()}", MEDIA_TYPE, "application/octet-stream"):
        for path in (ENROL, "/v1/search"):
            headers = {"Content-Type": content_type}
            answer = caller.http.post(path, content=picture, headers=headers)
            assert problem(answer) == (415, "raw-picture"), (content_type, path)
            assert "device bundle" in answer.json()["detail"]


def test_pictures_in_other_clothes(caller: Caller) -> None:
    heic = b"\0\0\0\x18ftypheic" + bytes(100)
    text = base64.b64encode(a_picture("JPEG"))
    for content in (heic, text, b"data:image/png;base64,AAAA"):
        assert problem(caller.post(ENROL, content)) == (415, "raw-picture")
    form = caller.http.post(ENROL, files={"file": ("me.jpg", a_picture("JPEG"))})
    assert problem(form) == (415, "raw-picture")
    video = caller.http.post(ENROL, content=b"x", headers={"Content-Type": "video/mp4"})
    assert problem(video) == (415, "raw-picture")


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "x" * 500])
def test_other_content_types(caller: Caller, records: np.ndarray, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    content = caller.encode(caller.message(records[:1]))
    answer = caller.http.post(ENROL, content=content, headers=headers)
    assert problem(answer) == (415, "media-type")
    assert MEDIA_TYPE in answer.json()["detail"]


def test_a_body_without_end_is_cut_off_early(caller: Caller) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 16
            yield bytes(1 << 16)

    try:
        answer = caller.http.post(ENROL, content=endless(), headers={"Content-Type": MEDIA_TYPE})
        assert problem(answer) == (413, "too-large")
    except (httpx.WriteError, httpx.RemoteProtocolError):
        pass  # it hung up while this was still sending
    assert sent < 64 << 20


def test_a_stated_length_is_judged_before_the_body(shared: Running, caller: Caller) -> None:
    import socket

    head = (
        f"POST {ENROL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {caller.api_key}\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: 99999999999\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]


def test_a_head_without_an_end_is_not_kept(shared: Running) -> None:
    import socket

    sent = 0
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(OSError):  # it hangs up
            while sent < 64 << 20:
                connection.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")
                sent += 1012
    assert sent < 8 << 20


def test_json_routes_read_less(caller: Caller) -> None:
    body = b'{"subject_id": "' + b"x" * 100_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = caller.http.post("/v1/subjects", content=body, headers=headers)
    assert problem(answer) == (413, "too-large")

    def parts() -> Iterator[bytes]:
        yield from [body[i : i + 1000] for i in range(0, len(body), 1000)]

    answer = caller.http.post("/v1/subjects", content=parts(), headers=headers)
    assert problem(answer) == (413, "too-large")


def test_a_thousand_samples_of_one_person(start, faces_sent: dict[str, np.ndarray]) -> None:
    records = np.concatenate([faces_sent["person-04"]] * 9)[:50]
    with start(request_burst=1000).caller() as caller:
        taken = 0
        for _ in range(1000 // 50):
            answer = caller.enrol("many", records)
            if answer.status_code != 201:
                break
            taken += 50
        assert problem(answer) == (409, "over-limit")
        assert caller.http.get("/v1/subjects/many").json()["templates"] == taken == 100


def test_a_locked_gallery_is_busy_and_recovers(start, faces_sent: dict[str, np.ndarray]) -> None:
    server = start()
    with server.caller() as caller:
        caller.enrol("one", faces_sent["person-01"][:1])
        lock = sqlite3.connect(server.site.folder / "gallery.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        message = caller.message(faces_sent["person-01"][1:2])
        answer = caller.post("/v1/subjects/one/templates", message)
        assert problem(answer) == (503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        lock.execute("ROLLBACK")
        lock.close()
        retried = caller.enrol("one", faces_sent["person-01"][1:2], request_id=message.request_id)
        assert retried.status_code == 201
        assert caller.http.get("/v1/subjects/one").json()["templates"] == 2


def test_another_scheme_of_the_same_shape(caller: Caller, records: np.ndarray) -> None:
    message: Message = caller.message(records, dtype="int8")
    answer = caller.post(ENROL, message)
    assert answer.status_code in (201, 409)
    if answer.status_code == 201:
        caller.http.delete("/v1/subjects/one")
