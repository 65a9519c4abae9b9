"""The student in a process of its own, as its callers see it."""

import logging
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, final

import numpy as np
from jaxtyping import Float, Float32

from xnn.errors import BusyError, StorageError, XnnError
from xnn.server.logs import log
from xnn.server.student_question import write_question

HEAD: Final = struct.Struct("<cd")
"""In front of every answer: its kind, and the processor seconds that it took."""
READY: Final = b"r"
EMBEDDINGS: Final = b"e"
FAILED: Final = b"f"
_WORKER = "xnn.server.student_worker"
"""Named, not imported: it brings torch along, which this process does without."""
_START_S = 120.0
_STOP_S = 10.0
_SOCKET_BYTES = 4 << 20
_GONE = (EOFError, OSError)

OnSeconds = Callable[[float], None]
"""Told the processor seconds of each batch."""


def _ignore(seconds: float) -> None:
    """Take no notice of the time a batch took."""


@final
class StudentProcess:
    """Runs a server bundle's student elsewhere on this machine.

    Of two callers at once, one's batch runs while the other's waits at the process's door. It is
    started anew when it ends (killed for its memory, say), and its batches are asked once more.

    Args:
        folder: The server bundle.
        threads: Of torch; 0 leaves the choice to it.
        on_seconds: Told the processor seconds of each batch.

    Trust: server.
    """

    def __init__(self, folder: Path, *, threads: int = 0, on_seconds: OnSeconds = _ignore) -> None:
        self._command = [str(folder), str(threads)]
        self.on_seconds = on_seconds
        self._sending, self._receiving = threading.Lock(), threading.Lock()
        self._child = _start(self._command)

    @property
    def process_id(self) -> int:
        """Return the number of the process that runs now."""
        return self._child.process.pid

    def wait_until_ready(self) -> None:
        """Return when the student has been loaded and has run once.

        Raises:
            StorageError: It cannot be loaded.
        """
        with self._sending:
            self._child.wait_until_ready()

    def embed(self, records: Float[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b k"]:
        """Return embeddings of records.

        Raises:
            BusyError: The process ended twice while it had these records.
            StorageError: It ended, and cannot be started again.
            XnnError: The student failed on them.
        """
        try:
            kind, seconds, content = self._ask(records)
        except _GONE:
            try:
                kind, seconds, content = self._ask(records)
            except _GONE as error:
                raise BusyError(
                    "the student's process ended twice on these records; try again with fewer"
                ) from error
        if kind != EMBEDDINGS:
            raise XnnError(f"the student failed: {content.decode(errors='replace')}")
        self.on_seconds(seconds)
        return np.frombuffer(content, np.float32).reshape(len(records), -1)

    def close(self) -> None:
        """End the process; what it was asked must have been answered. Again does nothing."""
        self._child.end()

    def _ask(self, records: np.ndarray) -> tuple[bytes, float, bytes]:
        # Who sends holds on to the sending end until it is his turn to receive: so answers come
        # back to whom they belong, and no more than two batches are out.
        with self._sending:
            if self._child.gone:
                log(logging.ERROR, "student_ended", status=self._child.process.poll())
                self._child.process.kill()
                with self._receiving:  # whoever waits for its answer has seen it end
                    self._child.end()
                self._child = _start(self._command)
            child = self._child
            child.wait_until_ready()
            child.send(records)
            self._receiving.acquire()
        try:
            return child.receive()
        finally:
            self._receiving.release()


@final
class _Child:
    """One process, and the connection to it."""

    def __init__(self, process: subprocess.Popen[bytes], other: Connection) -> None:
        self.process, self._other = process, other
        self._ready = False
        self.gone = False
        """Whether it was found to have ended."""

    def wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            if not self._other.poll(_START_S):
                raise StorageError(f"the student's process was not ready after {_START_S:g} s")
            kind, _, content = self.receive()
        except _GONE as error:
            raise StorageError(
                f"the student's process ended before it was ready (status {self.process.poll()}); "
                "is there memory for it?"
            ) from error
        if kind != READY:
            self.gone = True
            raise StorageError(f"the student cannot be run: {content.decode(errors='replace')}")
        self._ready = True

    def send(self, records: np.ndarray) -> None:
        try:
            self._other.send_bytes(write_question(records))
        except _GONE:
            self.gone = True
            raise

    def receive(self) -> tuple[bytes, float, bytes]:
        try:
            content = self._other.recv_bytes()
        except _GONE:
            self.gone = True
            raise
        kind, seconds = HEAD.unpack_from(content)
        return kind, seconds, content[HEAD.size :]

    def end(self) -> None:
        self._other.close()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _start(command: list[str]) -> _Child:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):  # a batch goes through in few pieces
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        process = subprocess.Popen(  # noqa: S603  our own module, no shell
            [sys.executable, "-P", "-m", _WORKER, str(theirs.fileno()), *command],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        return _Child(process, Connection(ours.detach()))
