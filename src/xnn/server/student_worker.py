"""The process that runs the student: records in, embeddings out, until the other end closes.

Nothing but `StudentProcess` starts it. It has an interpreter, and so its lock, to itself: beside an
event loop and a database, each of the student's many small steps waited for that lock.
"""

import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from xnn.errors import XnnError
from xnn.server.bundle import ServerBundle, load_server_bundle
from xnn.server.student import EMBEDDINGS, FAILED, HEAD, READY
from xnn.server.student_question import read_question, write_question

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
    with Connection(int(descriptor)) as other:
        try:
            student = load_server_bundle(Path(folder))
            zeros = np.zeros((1, student.card.m, student.card.e), np.float32)
            answer(student, write_question(zeros))
        except XnnError as error:
            other.send_bytes(failure(error))
            return
        other.send_bytes(HEAD.pack(READY, 0.0))
        while True:
            try:
                records = other.recv_bytes()
            except EOFError:  # nobody is left who could ask
                return
            other.send_bytes(answer(student, records))


def answer(student: ServerBundle, content: bytes) -> bytes:
    """Return the answer to a question: embeddings, float32 in a row.

    Trust: server.
    """
    start = time.process_time()
    try:
        records = read_question(content, student.card.m, student.card.e)
        with torch.inference_mode():
            found = student.embed(torch.from_numpy(records)).numpy()
    except Exception as error:  # whatever it is, the next batch may do better
        return failure(error)
    return HEAD.pack(EMBEDDINGS, time.process_time() - start) + found.tobytes()


def failure(error: Exception) -> bytes:
    """Return an error as an answer."""
    text = f"{type(error).__name__}: {error}"
    return HEAD.pack(FAILED, 0.0) + text.encode()[:_TEXT_BYTES]


if __name__ == "__main__":
    main(*sys.argv[1:])
