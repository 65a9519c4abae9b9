"""The student in a process of its own, as its callers see it."""

import logging
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
from jaxtyping import Float, Float32

from xnn.errors import BusyError, StorageError, XnnError
from xnn.server.logs import log
from xnn.server.student_question import Answer, receive_answer, send_question

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
Embeddings = Callable[[], Float32[np.ndarray, "b k"]]
"""Waits for the embeddings of what was asked, or raises why there are none. Called once."""


def _ignore(seconds: float) -> None:
    """Take no notice of the time a batch took."""


@final
class StudentProcess:
    """Runs a server bundle's student elsewhere on this machine.

    Asking and hearing the answer are two steps, so that whoever asks can do something else
    meanwhile. It is started anew when it ends (killed for its memory, say), and what was not
    answered is asked once more.

    Args:
        folder: The server bundle.
        threads: Of torch; 0 leaves the choice to it.
        on_seconds: Told the processor seconds of each batch.

    Trust: server.
    """

    def __init__(self, folder: Path, *, threads: int = 0, on_seconds: OnSeconds = _ignore) -> None:
        self._command = [str(folder), str(threads)]
        self.on_seconds = on_seconds
        self._asking = threading.Lock()
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
        with self._asking:
            self._child.wait_until_ready()

    def ask(self, records: Float[np.ndarray, "b m e"]) -> Embeddings:
        """Hand records over; return what waits for their embeddings.

        The process takes nothing in while it has an answer to give: whoever asks again before he
        has heard one may wait for ever, unless another thread hears it.

        What it returns raises:
            BusyError: The process ended twice while it had these records.
            StorageError: It ended, and cannot be started again.
            XnnError: The student failed on them.

        Raises:
            StorageError: It has ended, and cannot be started again.
        """
        asked = self._send(records)

        def embeddings() -> Float32[np.ndarray, "b k"]:
            try:
                answer = asked.child.receive(asked.number)
            except _GONE:
                again = self._send(records)
                try:
                    answer = again.child.receive(again.number)
                except _GONE as error:
                    raise BusyError(
                        "the student's process ended twice on these records; try again with fewer"
                    ) from error
            if answer.kind != EMBEDDINGS:
                raise XnnError(f"the student failed: {answer.content.decode(errors='replace')}")
            self.on_seconds(answer.seconds)
            return np.frombuffer(answer.content, np.float32).reshape(len(records), -1)

        return embeddings

    def embed(self, records: Float[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b k"]:
        """Return embeddings of records.

        Raises:
            BusyError: The process ended twice while it had these records.
            StorageError: It ended, and cannot be started again.
            XnnError: The student failed on them.
        """
        return self.ask(records)()

    def close(self) -> None:
        """End the process; what it was asked must have been answered. Again does nothing."""
        self._child.end()

    def _send(self, records: np.ndarray) -> "_Asked":
        with self._asking:
            if self._child.gone:
                log(logging.ERROR, "student_ended", status=self._child.process.poll())
                self._child.process.kill()
                self._child.end()
                self._child = _start(self._command)
            self._child.wait_until_ready()
            return _Asked(self._child, self._child.send(records))


@final
class _Child:
    """One process, and the connection to it."""

    def __init__(self, process: subprocess.Popen[bytes], other: socket.socket) -> None:
        self.process, self._other = process, other
        self._ready = False
        self._asked = 0
        self._receiving = threading.Lock()
        self._answers: dict[int, Answer] = {}
        self.gone = False
        """Whether it was found to have ended."""

    def wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            if not select.select([self._other], [], [], _START_S)[0]:
                raise StorageError(f"the student's process was not ready after {_START_S:g} s")
            answer = receive_answer(self._other)
        except _GONE as error:
            self.gone = True
            raise StorageError(
                f"the student's process ended before it was ready (status {self.process.poll()}); "
                "is there memory for it?"
            ) from error
        if answer.kind != READY:
            self.gone = True
            said = answer.content.decode(errors="replace")
            raise StorageError(f"the student cannot be run: {said}")
        self._ready = True

    def send(self, records: np.ndarray) -> int:
        """Send a question and return its number. That it was sent in vain, `receive` finds out."""
        self._asked += 1
        try:
            send_question(self._other, self._asked, records)
        except _GONE:
            self.gone = True
        return self._asked

    def receive(self, number: int) -> Answer:
        """Wait for the answer to a question; those to others, met on the way, are kept for them."""
        with self._receiving:
            while number not in self._answers:
                try:
                    answer = receive_answer(self._other)
                except _GONE:
                    self.gone = True
                    raise
                self._answers[answer.number] = answer
            return self._answers.pop(number)

    def end(self) -> None:
        with self._receiving:  # whoever waits for an answer hears of the end first
            self._other.close()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True, slots=True)
class _Asked:
    child: _Child
    number: int


def _start(command: list[str]) -> _Child:
    ours, theirs = socket.socketpair()
    with theirs:
        for end in (ours, theirs):  # a batch goes through in few pieces
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        process = subprocess.Popen(  # noqa: S603  our own module, no shell
            [sys.executable, "-P", "-m", _WORKER, str(theirs.fileno()), *command],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        return _Child(process, ours)
