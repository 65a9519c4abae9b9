"""Writes the audit log for many requests at once: they share one transaction, and its flush."""

import threading
from dataclasses import dataclass
from typing import final

from xnn.accounts import AuditEvent, AuditLog

_AT_ONCE = 256


@dataclass(slots=True)
class _Pending:
    event: AuditEvent
    done: bool = False
    error: Exception | None = None


@final
class Recorder:
    """Returns when an event is on disk. Whoever comes first writes for those who wait.

    A flush of the disk for each search would bound the service by the disk. While one is running,
    the events of other requests gather; the next writes them all.

    Trust: server.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._pending: list[_Pending] = []
        self._gathering, self._writing = threading.Lock(), threading.Lock()

    def record(self, event: AuditEvent) -> None:
        """Append an event; it is on disk when this returns.

        Raises:
            BusyError: The database is locked, full or away; it was not appended.
        """
        mine = _Pending(event)
        with self._gathering:
            self._pending.append(mine)
        with self._writing:  # whoever held it before may have written mine
            if not mine.done:
                self._write()
        if mine.error is not None:
            raise mine.error

    def _write(self) -> None:
        with self._gathering:
            batch, self._pending = self._pending[:_AT_ONCE], self._pending[_AT_ONCE:]
        error: Exception | None = None
        try:
            self._audit.append(*(pending.event for pending in batch))
        except Exception as caught:
            error = caught
        for pending in batch:
            pending.done, pending.error = True, error
