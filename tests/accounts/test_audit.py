"""The chain of the audit log: whole, or the first broken entry is named."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from xnn.accounts import AuditEvent, AuditLog, ChainState
from xnn.database import Database, open_database
from xnn.errors import ConfigError, CorruptError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "a.db"))
    yield opened
    opened.close()


def event(number: int, tenant: str = "t") -> AuditEvent:
    return AuditEvent(
        tenant=tenant, actor="key", action="enrol", subject=f"s{number}", facts={"samples": number}
    )


@pytest.fixture
def log(database: Database) -> AuditLog:
    log = AuditLog(database, clock_ms=lambda: 1_700_000_000_000)
    for number in range(1, 11):
        log.append(event(number))
    return log


def test_an_empty_log(database: Database) -> None:
    log = AuditLog(database)
    assert log.check() == log.head() == ChainState(number=0, digest="0" * 64)
    assert log.append() == log.head()
    assert log.entries() == []


def test_entries_come_in_order_and_the_chain_is_whole(log: AuditLog) -> None:
    state = log.append(event(11, "u"), event(12, "u"))
    assert state.number == 12
    assert log.check() == log.head() == state
    entries = log.entries(limit=100)
    assert [entry.number for entry in entries] == list(range(1, 13))
    assert entries[2].event == event(3)
    assert entries[-1].digest == state.digest
    assert [entry.number for entry in log.entries("u")] == [11, 12]
    assert [entry.number for entry in log.entries(after=4, limit=2)] == [5, 6]


def test_the_digest_is_the_documented_one(log: AuditLog) -> None:
    import hashlib

    digest = bytes(32)
    for number in range(1, 11):
        content = f'[{number},1700000000000,"t","key","enrol","s{number}","done",'
        content += '"{\\"samples\\":' + f"{number}" + '}"]'
        digest = hashlib.sha256(b"xnn audit v1" + digest + content.encode()).digest()
    assert log.head().digest == digest.hex()


TAMPERINGS = {
    "altered": ("UPDATE audit SET subject = 'x' WHERE number = 4", "entry 4 was altered"),
    "fact": ("UPDATE audit SET facts = '{}' WHERE number = 7", "entry 7 was altered"),
    "time": ("UPDATE audit SET at_ms = 1 WHERE number = 1", "entry 1 was altered"),
    "removed": ("DELETE FROM audit WHERE number = 5", "entry 5 was altered or removed"),
    "end": ("DELETE FROM audit WHERE number > 8", "entry 9 is missing"),
    "all": ("DELETE FROM audit", "entry 1 is missing"),
    "added": (
        "INSERT INTO audit SELECT 11, at_ms, tenant, actor, action, subject, outcome, facts, "
        "digest FROM audit WHERE number = 10",
        "entry 11 is missing or too many",
    ),
    "head": ("UPDATE audit_head SET number = 9", "too many"),
}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_tampering_is_noticed_and_the_first_broken_entry_named(
    database: Database, log: AuditLog, case: str
) -> None:
    statement, message = TAMPERINGS[case]
    with database.writing() as connection:
        connection.execute(text(statement))
    with pytest.raises(CorruptError, match=message):
        log.check()


def test_a_kept_head_shows_that_the_end_was_cut_off(database: Database, log: AuditLog) -> None:
    kept = log.head()
    log.append(event(11))
    assert log.check(kept=kept).number == 11
    with database.writing() as connection:
        row = connection.execute(text("SELECT digest FROM audit WHERE number = 8")).one()
        connection.execute(text("DELETE FROM audit WHERE number > 8"))
        connection.execute(
            text("UPDATE audit_head SET number = 8, digest = :digest"), {"digest": row.digest}
        )
    assert log.check().number == 8, "by itself the shortened chain is whole"
    with pytest.raises(CorruptError, match="entry 10 was kept: its end was cut off"):
        log.check(kept=kept)
    for number in (9, 10, 11):
        log.append(event(number + 100))
    with pytest.raises(CorruptError, match="entry 10 is not the one whose digest was kept"):
        log.check(kept=kept)


def test_appending_from_many_threads_keeps_the_chain(database: Database) -> None:
    log = AuditLog(database)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: log.append(event(i), event(i + 100)), range(30)))
    assert log.check().number == 60
    subjects = [entry.event.subject for entry in log.entries(limit=100)]
    pairs = list(zip(subjects[::2], subjects[1::2], strict=True))
    assert sorted(pairs) == sorted((f"s{i}", f"s{i + 100}") for i in range(30))


def test_subjects_go_by_pseudonyms_where_a_key_is_given(database: Database) -> None:
    names: list[Callable[[str, str], str]] = [
        AuditLog(database, pseudonym_key=key).name_of for key in (bytes(32), b"x" * 32, None)
    ]
    assert names[2]("t", "anna") == "anna"
    for name in names[:2]:
        assert len(name("t", "anna")) == 16
        assert name("t", "anna") == name("t", "anna")
        assert len({name("t", "anna"), name("t", "berta"), name("u", "anna")}) == 3
    assert names[0]("t", "anna") != names[1]("t", "anna")


@pytest.mark.parametrize("fact", [[1], {"a": 1}, b"x", float("nan")])
def test_facts_are_plain(log: AuditLog, fact: object) -> None:
    odd = AuditEvent.__new__(AuditEvent)
    for name, value in {
        "tenant": "t",
        "actor": "a",
        "action": "b",
        "subject": None,
        "outcome": "done",
        "facts": {"x": fact},
    }.items():
        object.__setattr__(odd, name, value)
    with pytest.raises(ConfigError, match="a fact of an audit event"):
        log.append(odd)
    assert log.check().number == 10
