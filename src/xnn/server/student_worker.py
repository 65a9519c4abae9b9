"""The process that runs the student: records in, embeddings out, until the other end closes.

Nothing but `StudentProcess` starts it. It has an interpreter, and so its lock, to itself: beside an
event loop and a database, each of the student's many small steps waited for that lock.
"""

import contextlib
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import torch

from xnn.errors import XnnError
from xnn.server.bundle import ServerBundle, load_server_bundle
from xnn.server.student import EMBEDDINGS, FAILED, READY
from xnn.server.student_question import Answer, receive_question, send_answer

_TEXT_BYTES = 500


def main(descriptor: str, folder: str, threads: str) -> None:
    """Serve one connection.

    Args:
        descriptor: Of the inherited socket.
        folder: The server bundle.
        threads: Of torch; 0 leaves the choice to it.
    """
    # A stop signal may reach the whole group: what was accepted is finished first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if int(threads):
        torch.set_num_threads(int(threads))
    with socket.socket(fileno=int(descriptor)) as other:
        try:
            student = load_server_bundle(Path(folder))
        except XnnError as error:
            send_answer(other, failure(0, error))
            return
        shape = student.card.m, student.card.e
        ready = answer(student, 0, np.zeros((1, *shape), np.float32))
        send_answer(other, ready if ready.kind == FAILED else Answer(0, READY, 0.0, b""))
        with contextlib.suppress(EOFError, ConnectionError):  # nobody is left who could ask
            while True:
                send_answer(other, answer(student, *receive_question(other, *shape)))


def answer(student: ServerBundle, number: int, records: np.ndarray) -> Answer:
    """Return the answer to a question: embeddings, float32 in a row.

    Trust: server.
    """
    start = time.process_time()
    try:
        with torch.inference_mode():
            found = student.embed(torch.from_numpy(records)).numpy()
    except Exception as error:  # whatever it is, the next batch may do better
        return failure(number, error)
    return Answer(number, EMBEDDINGS, time.process_time() - start, found.tobytes())


def failure(number: int, error: Exception) -> Answer:
    """Return an error as an answer."""
    text = f"{type(error).__name__}: {error}"
    return Answer(number, FAILED, 0.0, text.encode()[:_TEXT_BYTES])


if __name__ == "__main__":
    main(*sys.argv[1:])
