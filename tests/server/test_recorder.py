"""Entries share transactions, and nobody goes on before theirs is on disk."""

import sqlite3
import threading
from pathlib import Path

import pytest

from xnn.accounts import AuditEvent, AuditLog
from xnn.database import open_database
from xnn.errors import BusyError
from xnn.server.recorder import Recorder


def event(number: int) -> AuditEvent:
    return AuditEvent(tenant="a", actor="k", action="search", facts={"n": number})


def test_all_are_there_in_fewer_transactions_than_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'g.db'}")
    audit, append = AuditLog(database), AuditLog.append
    sizes: list[int] = []

    def counted(self: AuditLog, *events: AuditEvent) -> object:
        sizes.append(len(events))
        return append(self, *events)

    monkeypatch.setattr(AuditLog, "append", counted)
    recorder = Recorder(audit)
    missing: list[int] = []

    def work(first: int) -> None:
        for number in range(first, first + 10):
            recorder.record(event(number))
            if number not in {e.event.facts["n"] for e in audit.entries(limit=1000)}:
                missing.append(number)

    threads = [threading.Thread(target=work, args=(100 * t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missing
    assert sum(sizes) == 80
    assert len(sizes) < 80
    assert audit.check().number == 80
    database.close()


def test_a_failure_is_told_and_the_next_is_written(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'g.db'}", timeout_s=0.05)
    recorder = Recorder(AuditLog(database))
    lock = sqlite3.connect(tmp_path / "g.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for number in range(2):
        with pytest.raises(BusyError, match="locked"):
            recorder.record(event(number))
    lock.execute("ROLLBACK")
    lock.close()
    recorder.record(event(2))
    (entry,) = AuditLog(database).entries()
    assert entry.event.facts == {"n": 2}
    database.close()
