"""What crosses between a device and a service, recorded; and a search in it for what must not.

`Wiretap` stands between the two and copies every byte. `PacketCapture` reads the packets of the
loopback itself through tcpdump, where one may. `Forbidden` looks into a recording.
"""

import base64
import contextlib
import itertools
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_WINDOW = 16
_STRIDE = 8
_FEWEST_VALUES = 6
"""A window of fewer different bytes is a flat piece of a picture, or of anything else."""
_TEMPLATE = 128
_FEWEST = 64
_PATIENCE_S = 20.0
SAME = 0.99
"""Correlation from which on numbers count as those looked for, whatever rounding they went through.
"""
SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff[\xdb\xe0\xe1\xe2\xee]"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "WebP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "HEIF": re.compile(rb"ftyp(heic|heix|mif1|avif)"),
    "JPEG in base64": re.compile(rb"/9j/[24]"),
    "PNG in base64": re.compile(rb"iVBORw0KGgo"),
    "compressed": re.compile(rb"content-encoding: *(?!identity)", re.IGNORECASE),
}
"""The last is no picture: it would hide one."""


class Wiretap:
    """A relay on a port of its own that keeps what passes; close it."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.streams: list[tuple[bytearray, bytearray]] = []
        """Of each connection: what the device said, and what the service said."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Return where a device finds the service behind it."""
        return f"http://127.0.0.1:{self.port}"

    def recorded(self) -> bytes:
        """Return both directions of all connections, each after the other."""
        return b"".join(bytes(stream) for pair in self.streams for stream in pair)

    def sent(self) -> bytes:
        """Return what devices said."""
        return b"".join(bytes(pair[0]) for pair in self.streams)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                device, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(device,), daemon=True).start()

    def _join(self, device: socket.socket) -> None:
        said, answered = bytearray(), bytearray()
        self.streams.append((said, answered))
        with device, socket.create_connection(("127.0.0.1", self._behind)) as service:
            back = threading.Thread(target=_relay, args=(service, device, answered), daemon=True)
            back.start()
            _relay(device, service, said)
            back.join()


def _relay(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            kept += part  # before it goes on: who sees an answer finds the question recorded
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class PacketCapture:
    """Packets of the loopback to and from a port, by tcpdump.

    Raises:
        RuntimeError: It did not start.
    """

    def __init__(self, port: int, path: Path) -> None:
        self._path = path
        command = ["tcpdump", "-i", "lo", "-s", "0", "-B", "32768", "-U", "-w", "-"]
        with path.open("wb") as out:
            self._process = subprocess.Popen(
                [*command, "tcp", "port", str(port)], stdout=out, stderr=subprocess.PIPE
            )
        told = b"" if self._process.stderr is None else self._process.stderr.readline()
        while told and b"listening on" not in told and self._process.stderr is not None:
            told = self._process.stderr.readline()
        if not told:
            raise RuntimeError("tcpdump did not start")

    @staticmethod
    def refusal() -> str | None:
        """Return why packets cannot be captured here; None where they can."""
        if shutil.which("tcpdump") is None:
            return "tcpdump is not installed"
        return None if os.geteuid() == 0 else "only root may capture packets"

    def stop(self, num_bytes: int) -> list[bytes]:
        """End the capture once it has so many bytes, or after 20 s.

        Returns:
            What was said in each direction of each connection.
        """
        end = time.monotonic() + _PATIENCE_S
        while True:  # the kernel hands packets over in blocks, some time after they passed
            streams = list(_streams(_packets(self._path.read_bytes())).values())
            if sum(map(len, streams)) >= num_bytes or time.monotonic() > end:
                break
            time.sleep(0.1)
        self._process.terminate()
        self._process.communicate(timeout=10)
        return streams


Flow = tuple[bytes, int, bytes, int]


def _packets(pcap: bytes) -> Iterator[tuple[Flow, int, bytes]]:
    """Yield the flow, sequence number and payload of each TCP packet in IPv4."""
    if len(pcap) < 24:
        return
    (magic,) = struct.unpack_from("<I", pcap)
    if magic != 0xA1B2C3D4:
        raise ValueError("not a little-endian pcap file of microseconds")
    at = 24
    while at + 16 <= len(pcap):
        size = struct.unpack_from("<I", pcap, at + 8)[0]
        if at + 16 + size > len(pcap):
            return  # still being written
        frame, at = pcap[at + 16 : at + 16 + size], at + 16 + size
        ip = frame[14:]
        if frame[12:14] != b"\x08\x00" or ip[9] != socket.IPPROTO_TCP:
            continue
        tcp = ip[4 * (ip[0] & 15) : int.from_bytes(ip[2:4], "big") or len(ip)]
        source, target, sequence = struct.unpack_from(">HHI", tcp)
        payload = tcp[4 * (tcp[12] >> 4) :]
        if tcp[13] & 2:  # SYN takes one number
            sequence = (sequence + 1) % (1 << 32)
        yield (ip[12:16], source, ip[16:20], target), sequence, payload


def _streams(packets: Iterable[tuple[Flow, int, bytes]]) -> dict[Flow, bytes]:
    first: dict[Flow, int] = {}
    kept: dict[Flow, dict[int, bytes]] = {}
    for flow, sequence, payload in packets:
        start = first.setdefault(flow, sequence)
        pieces = kept.setdefault(flow, {})
        place = (sequence - start) % (1 << 32)
        if len(payload) > len(pieces.get(place, b"")):
            pieces[place] = payload
    streams = {}
    for flow, pieces in kept.items():
        stream = bytearray()
        for place, payload in sorted(pieces.items()):
            stream[place : place + len(payload)] = payload
        streams[flow] = bytes(stream)
    return streams


@dataclass
class Forbidden:
    """What must not be found in a recording.

    Bytes are looked for as they are, in base64 and in hexadecimal digits; numbers as float32 and
    float16 of both byte orders, as fixed32, as int8 and as decimal text, at any place and of any
    scale.
    """

    bytes_of: Mapping[str, bytes]
    """By what they are: a file, the pixels of a crop."""
    numbers_of: Mapping[str, np.ndarray] = field(default_factory=dict)
    """By what they are: the tokens of a crop, an embedding. 64 numbers or more each."""

    def __post_init__(self) -> None:
        short = [name for name, numbers in self.numbers_of.items() if numbers.size < _FEWEST]
        if short:
            raise ValueError(f"{short}: fewer than {_FEWEST} numbers are found by accident")
        self._windows: dict[bytes, str] = {}
        for name, content in self.bytes_of.items():
            texts = [base64.b64encode(content[skip:]) for skip in range(3)]
            for shown in (content, content.hex().encode(), *texts):
                for at in range(0, len(shown) - _WINDOW + 1, _STRIDE):
                    window = shown[at : at + _WINDOW]
                    if len(set(window)) >= _FEWEST_VALUES:
                        self._windows.setdefault(window, name)

    def found_in(self, recording: bytes) -> set[str]:
        """Return what is in a recording, by name."""
        found = {name for name, pattern in SIGNATURES.items() if pattern.search(recording)}
        for at in range(len(recording) - _WINDOW + 1):
            name = self._windows.get(recording[at : at + _WINDOW])
            if name is not None:
                found.add(name)
        return found | {n for n, r in self.correlations(recording).items() if r >= SAME}

    def correlations(self, recording: bytes) -> dict[str, float]:
        """Return for each kind of number how near anything in the recording comes to it, 0 to 1."""
        best = dict.fromkeys(self.numbers_of, 0.0)
        for view in _views(recording):
            for name, numbers in self.numbers_of.items():
                for piece in _pieces(numbers):
                    best[name] = max(best[name], _largest_correlation(view, piece))
        return best


def _views(recording: bytes) -> Iterator[np.ndarray]:
    """Yield a recording as numbers, in every way that they may have been written."""
    for kind, width in itertools.product("<>", (4, 2)):
        for skip in range(width):
            end = skip + (len(recording) - skip) // width * width
            yield _tamed(np.frombuffer(recording[skip:end], f"{kind}f{width}"))
    for skip in range(4):
        end = skip + (len(recording) - skip) // 4 * 4
        yield np.frombuffer(recording[skip:end], "<u4") / 2**32
    yield _tamed(np.frombuffer(recording, np.int8))
    texts = re.findall(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", recording)
    yield _tamed(np.array([float(text) for text in texts if len(text) < 40]))


def _tamed(numbers: np.ndarray) -> np.ndarray:
    """Drop what no feature is: bytes read at a wrong place give anything."""
    with np.errstate(invalid="ignore", over="ignore"):
        wide = numbers.astype(np.float64)
    return np.where(np.isfinite(wide) & (np.abs(wide) < 1e4), wide, 0.0)


def _pieces(numbers: np.ndarray) -> Iterator[np.ndarray]:
    flat = numbers.reshape(-1).astype(np.float64)
    size = min(_TEMPLATE, len(flat))
    for at in (0, (len(flat) - size) // 2, len(flat) - size):
        yield flat[at : at + size]


def _largest_correlation(view: np.ndarray, piece: np.ndarray) -> float:
    """Return the largest absolute correlation of a piece with any stretch as long."""
    size = len(piece)
    if len(view) < size:
        return 0.0
    centred = piece - piece.mean()
    products = _slide(view, centred)
    sums, squares = (np.cumsum(np.concatenate([[0.0], v])) for v in (view, view * view))
    total, power = (c[size:] - c[:-size] for c in (sums, squares))
    spread = np.sqrt(np.maximum(power - total * total / size, 0.0)) * np.linalg.norm(centred)
    real = spread > 1e-6 * max(float(spread.max()), 1e-12)
    return float(np.abs(products[real] / spread[real]).max(initial=0.0))


def _slide(view: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Return the product of a piece with every stretch of a view."""
    length = 1 << (len(view) + len(piece) - 1).bit_length()
    spectrum = np.fft.rfft(view, length) * np.conj(np.fft.rfft(piece, length))
    return np.fft.irfft(spectrum, length)[: len(view) - len(piece) + 1]
