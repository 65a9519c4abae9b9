"""What a service and its student's process say to each other: frames over a stream socket.

A question is records, an answer is what became of those with its number. Each frame is written and
read in as few calls as there can be: every call may wake the other side.
"""

import socket
import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from xnn.errors import FormatError

_QUESTION = struct.Struct("<QQ8s")
_ANSWER = struct.Struct("<QQcd")
_KINDS = (b"<f4", b"<f8")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a question."""

    number: int
    """Of the question."""
    kind: bytes
    seconds: float
    """Of the processor, that it took."""
    content: bytes | bytearray


def send_question(other: socket.socket, number: int, records: Float[np.ndarray, "b m e"]) -> None:
    """Send records; float64 stays so: a coupled z needs all digits it came with.

    Raises:
        OSError: The other side is gone.
    """
    kind = b"<f8" if records.dtype == np.float64 else b"<f4"
    numbers = np.ascontiguousarray(records, kind.decode()).data.cast("B")
    _send(other, _QUESTION.pack(numbers.nbytes, number, kind), numbers)


def receive_question(other: socket.socket, m: int, e: int) -> tuple[int, np.ndarray]:
    """Return the number of the next question and its records, b x m x e; they may be written to.

    Raises:
        EOFError: The other side is gone.
        FormatError: It is none.
    """
    num_bytes, number, kind = _QUESTION.unpack(_receive(other, _QUESTION.size))
    kind = kind.rstrip(b"\0")
    if kind not in _KINDS:
        raise FormatError("a question to the student begins otherwise than one does")
    numbers = np.frombuffer(_receive(other, num_bytes), kind.decode())
    return number, numbers.reshape(-1, m, e)


def send_answer(other: socket.socket, answer: Answer) -> None:
    """Send an answer.

    Raises:
        OSError: The other side is gone.
    """
    head = _ANSWER.pack(len(answer.content), answer.number, answer.kind, answer.seconds)
    _send(other, head, memoryview(answer.content))


def receive_answer(other: socket.socket) -> Answer:
    """Return the next answer.

    Raises:
        EOFError: The other side is gone.
        OSError: Likewise.
    """
    num_bytes, number, kind, seconds = _ANSWER.unpack(_receive(other, _ANSWER.size))
    return Answer(number, kind, seconds, _receive(other, num_bytes))


def _send(other: socket.socket, head: bytes, content: memoryview) -> None:
    sent = other.sendmsg([head, content])
    if sent < len(head):
        other.sendall(head[sent:])
        sent = len(head)
    if sent < len(head) + len(content):
        other.sendall(content[sent - len(head) :])


def _receive(other: socket.socket, num_bytes: int) -> bytearray:
    content = bytearray(num_bytes)
    got = 0
    while got < num_bytes:
        part = other.recv_into(memoryview(content)[got:], 0, socket.MSG_WAITALL)
        if not part:
            raise EOFError("the other side has closed")
        got += part
    return content
