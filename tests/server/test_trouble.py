"""Beneath a running service: a disk that is full, a database that goes and comes back."""

import dataclasses
import resource
import time

import httpx
import numpy as np

from served import Caller, Running, Site, problem
from xnn.accounts import AuditLog
from xnn.database import open_database
from xnn.wire.message import Message

Records = dict[str, np.ndarray]


def found(caller: Caller, records: np.ndarray) -> list[str]:
    answer = caller.search(records, far=0.1, top_k=3)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return [candidate["subject_id"] for candidate in result["candidates"]]


def test_a_full_disk_is_busy_and_recovers(start, faces_sent: Records) -> None:
    server: Running = start()
    with server.caller() as caller:
        assert caller.enrol("one", faces_sent["person-01"][:2]).status_code == 201
        templates = caller.http.get("/v1/subjects/one/templates").json()
        fill_disk(server)
        message = caller.message(faces_sent["person-02"])
        for _ in range(3):
            answer = caller.post("/v1/subjects/two/templates?create=true", sent_again(message))
            assert problem(answer) == (503, "busy")
            assert int(answer.headers["retry-after"]) >= 1
        # What cannot be entered in the audit log is not done.
        assert problem(caller.search(faces_sent["person-01"][2:3], far=0.1)) == (503, "busy")
        assert problem(caller.http.delete("/v1/subjects/one")) == (503, "busy")
        assert caller.http.get("/v1/subjects/one/templates").json() == templates
        assert httpx.get(f"{server.url}/healthz").status_code == 200

        free_disk(server)
        assert caller.http.get("/v1/subjects").json()["subjects"] == ["one"]
        assert found(caller, faces_sent["person-01"][2:3]) == ["one"]
        retried = caller.post("/v1/subjects/two/templates?create=true", sent_again(message))
        assert retried.status_code == 201, "the same request, sent again"
        assert len(retried.json()["templates"]) == len(faces_sent["person-02"])
    assert server.stop() == 0
    log_is_whole(server.site.address)


def fill_disk(server: Running) -> None:
    """Let no file of the server's process grow."""
    files = server.site.folder.glob("gallery.db*")
    size = min(file.stat().st_size for file in files if not file.name.endswith("-shm"))
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def free_disk(server: Running) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)


def sent_again(message: Message) -> Message:
    """The same request in a message of its own: a message is taken once."""
    fresh = np.random.default_rng().bytes(len(message.nonce))
    return dataclasses.replace(message, nonce=fresh)


@dataclasses.dataclass
class PostgresSite(Site):
    """A site whose gallery is in PostgreSQL."""

    postgres: str = ""

    @property
    def address(self) -> str:
        return self.postgres

    @classmethod
    def of(cls, site: Site, postgres: str) -> "PostgresSite":
        made = cls(site.folder, site.bundles, postgres=postgres)
        path = site.folder / "serve.toml"
        path.write_text(path.read_text().replace(site.address, postgres))
        made.keys = {tenant: made.new_key(tenant) for tenant in ("a", "b")}
        return made


def test_a_database_that_goes_and_comes_back(
    start, make_site, postgres, postgres_address: str, faces_sent: Records
) -> None:
    server: Running = start(PostgresSite.of(make_site(), postgres_address))
    with server.caller() as caller:
        assert caller.enrol("one", faces_sent["person-01"][:2]).status_code == 201
        postgres.stop()
        try:
            message = caller.message(faces_sent["person-02"][:2])
            for _ in range(3):
                answer = caller.post("/v1/subjects/two/templates?create=true", sent_again(message))
                assert problem(answer) in ((503, "busy"), (503, "storage"))
                assert "postgres" not in answer.text.lower(), "nothing of its insides"
            assert httpx.get(f"{server.url}/healthz").status_code == 200
            ready = httpx.get(f"{server.url}/readyz")
            assert ready.status_code == 503
        finally:
            postgres.start()
        wait_until_ready(server)
        assert found(caller, faces_sent["person-01"][2:3]) == ["one"]
        retried = caller.post("/v1/subjects/two/templates?create=true", sent_again(message))
        assert retried.status_code == 201
        assert caller.http.get("/v1/subjects").json()["subjects"] == ["one", "two"]
    assert server.stop() == 0
    log_is_whole(postgres_address)


def wait_until_ready(server: Running) -> None:
    end = time.monotonic() + 20
    while httpx.get(f"{server.url}/readyz").status_code != 200:
        assert time.monotonic() < end, "never ready again"
        time.sleep(0.1)


def log_is_whole(address: str) -> None:
    database = open_database(address)
    try:
        assert AuditLog(database).check().number > 0
    finally:
        database.close()
