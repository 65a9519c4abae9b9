"""The same gallery in a real PostgreSQL: sealed and in the clear, several processes, a crash."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import text

from xnn.accounts import Accounts, AuditEvent, AuditLog
from xnn.errors import BusyError, ConfigError, DuplicateError, LimitError, VersionError
from xnn.gallery import GalleryLimits, StoredGallery, open_gallery

BUNDLE = "ab" * 32


def rid(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture(params=["sealed", "clear"])
def open_it(
    request: pytest.FixtureRequest, postgres_address: str, master_key
) -> Iterator[Callable[..., StoredGallery]]:
    opened: list[StoredGallery] = []

    def make(**options: object) -> StoredGallery:
        gallery = open_gallery(postgres_address, master_key, vectors=request.param, **options)
        opened.append(gallery)
        return gallery

    yield make
    for gallery in opened:
        gallery.close()


def test_the_operations(open_it, draw) -> None:
    gallery, other = open_it(), open_it()
    vectors = {}
    for number in range(4):
        vectors[f"s{number}"] = draw(2, seed=number)
        gallery.enrol(
            "t",
            f"s{number}",
            vectors[f"s{number}"],
            bundle_id=BUNDLE,
            request_id=rid(number),
            create=True,
        )
    for opened in (gallery, other, open_it()):
        for name, rows in vectors.items():
            (found,) = opened.search("t", rows[1:], bundle_id=BUNDLE, top_k=3)
            assert (len(found), found[0].subject_id) == (3, name)
            np.testing.assert_allclose(
                opened.verify("t", name, rows, bundle_id=BUNDLE), 1, atol=1e-6
            )
    first, _ = gallery.templates("t", "s1")
    other.erase_template("t", first.template_id)
    assert gallery.delete_subject("t", "s2") == 2
    for opened in (gallery, other):
        (found,) = opened.search("t", vectors["s1"][:1], bundle_id=BUNDLE, top_k=10)
        assert first.template_id not in {c.template_id for c in found}
        assert {c.subject_id for c in found} == {"s0", "s1", "s3"}
        assert opened.count("t") == (3, 5)
    with pytest.raises(DuplicateError):
        other.create_subject("t", "s0")
    assert other.retire("t", bundle_id=BUNDLE) == ["s0", "s1", "s3"]


def test_names_sort_by_their_bytes(open_it) -> None:
    gallery = open_it()
    names = ["b", "A", "a", "_", "B", "-", "10", "9", "a.b", "a-b"]
    for name in names:
        gallery.create_subject("t", name)
    assert gallery.subjects("t") == sorted(names)


def test_writers_of_two_processes_respect_the_limit_together(open_it, draw) -> None:
    galleries = [open_it(limits=GalleryLimits(templates_per_subject=5)) for _ in range(2)]

    def enrol(number: int) -> bool:
        try:
            galleries[number % 2].enrol(
                "t", "a", draw(1), bundle_id=BUNDLE, request_id=rid(number), create=True
            )
        except LimitError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(enrol, range(12))) == 5
    for gallery in galleries:
        assert gallery.count("t") == (1, 5)


def test_a_crash_of_the_server_is_one_clear_line_and_nothing_is_lost(
    open_it, postgres, draw
) -> None:
    gallery = open_it()
    gallery.enrol("t", "a", draw(1), bundle_id=BUNDLE, request_id=rid(1), create=True)
    postgres.stop()
    try:
        for attempt in (
            lambda: gallery.enrol("t", "a", draw(1), bundle_id=BUNDLE, request_id=rid(2)),
            lambda: gallery.search("t", draw(1), bundle_id=BUNDLE, top_k=1),
            lambda: gallery.delete_subject("t", "a"),
        ):
            with pytest.raises(BusyError, match="does not answer") as caught:
                attempt()
            assert "xnn-pg" not in str(caught.value)
    finally:
        postgres.start()
    (found,) = gallery.search("t", draw(1), bundle_id=BUNDLE, top_k=1)
    assert found[0].subject_id == "a"
    gallery.enrol("t", "a", draw(1), bundle_id=BUNDLE, request_id=rid(2))
    assert open_it().count("t") == (1, 2)


def test_a_lock_of_another_process_is_waited_for_and_then_refused(
    postgres_address: str, master_key, draw
) -> None:
    from xnn.database import open_database

    database = open_database(postgres_address, timeout_s=0.3)
    gallery = open_gallery(database, master_key)
    with database.writing() as connection:
        connection.execute(text("UPDATE gallery_state SET version = version"))
        with pytest.raises(BusyError, match="locked by another process"):
            gallery.create_subject("t", "a")
    gallery.create_subject("t", "a")
    gallery.close()


def test_what_stands_in_the_database(postgres_address: str, master_key, draw) -> None:
    """Sealed: no vector anywhere. Clear: it is there to read, and said so."""
    gallery = open_gallery(postgres_address, master_key)
    gallery.enrol("t", "a", draw(1), bundle_id=BUNDLE, request_id=rid(1), create=True)
    unit = (draw(1) / np.linalg.norm(draw(1))).astype("<f4").tobytes()
    with gallery.database.reading() as connection:
        row = connection.execute(text("SELECT * FROM templates")).one()
    assert unit[:8] not in bytes(row.sealed)
    with pytest.raises(ConfigError, match="keeps its vectors sealed, not clear"):
        open_gallery(gallery.database, master_key, vectors="clear")
    gallery.close()


def test_clear_vectors_need_postgres(tmp_path, master_key) -> None:
    with pytest.raises(ConfigError, match="need PostgreSQL"):
        open_gallery(str(tmp_path / "g.db"), master_key, vectors="clear")


def test_tables_of_a_newer_program_are_refused(postgres_address: str, master_key) -> None:
    gallery = open_gallery(postgres_address, master_key)
    with gallery.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    gallery.close()
    with pytest.raises(VersionError, match="'9999'"):
        open_gallery(postgres_address, master_key)


def test_accounts_and_audit_log(postgres_address: str) -> None:
    from xnn.database import open_database

    database = open_database(postgres_address)
    accounts, log = Accounts(database), AuditLog(database)
    key, secret = accounts.create("t", ["admin"])
    assert accounts.authenticate(secret) == key
    event = AuditEvent(tenant="t", actor=key.name, action="search")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: log.append(event), range(20)))
    assert log.check().number == 20
    database.close()


def test_two_processes_that_open_an_empty_database_at_once(
    postgres_address: str, master_key
) -> None:
    with ThreadPoolExecutor(4) as pool:
        galleries = list(pool.map(lambda _: open_gallery(postgres_address, master_key), range(4)))
    galleries[0].create_subject("t", "a")
    assert [gallery.subjects("t") for gallery in galleries] == [["a"]] * 4
    for gallery in galleries:
        gallery.close()
