"""Messages to a service from one process, over kept connections: a lean client for measurements."""

import asyncio
import re
import statistics
import time

import httpx
import numpy as np

from served import Caller, Running
from xnn.wire.message import MEDIA_TYPE

PATH = "/v1/search?far=0.5&top_k=5"
LONGEST_IDLE_S = 2.0
"""Older connections are not used again: the server hangs up after five seconds."""


def records_of(count: int, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return records as a front might send them."""
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


class Line:
    """A kept connection, and the least of HTTP that a service needs.

    The service is measured, not a client: httpx alone takes longer than most parts of the service.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._used = time.monotonic()

    @classmethod
    async def open(cls, url: str) -> "Line":
        """Connect."""
        address = httpx.URL(url)
        return cls(*await asyncio.open_connection(address.host, address.port))

    async def post(self, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        lines.append(f"host: service\r\ncontent-length: {len(content)}\r\n\r\n")
        self._writer.write(f"POST {path} HTTP/1.1\r\n{''.join(lines)}".encode() + content)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if length is None:
            raise RuntimeError(f"an answer without a length: {head[:200]!r}")
        body = await self._reader.readexactly(int(length[1]))
        self._used = time.monotonic()
        return int(head.split(maxsplit=2)[1]), body

    def idle_s(self) -> float:
        """Return how long ago the last answer came."""
        return time.monotonic() - self._used

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Load:
    """Messages in flight from this process, over kept connections."""

    def __init__(
        self,
        server: Running,
        records: int,
        *,
        url: str = "",
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Prepare messages.

        Args:
            server: Whose callers send them.
            records: In each.
            url: Of another server that gets them.
            http: Sends them in place of lines.
        """
        self._caller: Caller = server.caller()
        self._records = records_of(records, self._caller.shape)
        self._server, self._lines, self._http = url or server.url, list[Line](), http
        self.refused = 0

    async def send(self) -> None:
        """Send one message and read its answer."""
        content = self._caller.encode(self._caller.message(self._records))
        headers = {"Authorization": f"Bearer {self._caller.api_key}", "Content-Type": MEDIA_TYPE}
        if self._http is not None:
            answer = await self._http.post(self._server + PATH, content=content, headers=headers)
            status, body = answer.status_code, answer.content
        else:
            line = await self._line()
            status, body = await line.post(PATH, content, headers)
            self._lines.append(line)
        if status == 503:
            self.refused += 1
        elif status != 200:
            raise RuntimeError(f"status {status}: {body[:200]!r}")

    def alone(self, seconds: float) -> float:
        """Return the median latency, in seconds, of one message at a time."""
        return statistics.median(asyncio.run(self.closed(1, seconds))[2])

    async def closed(self, callers: int, seconds: float) -> tuple[int, float, list[float]]:
        """Keep so many callers busy; return answers, seconds, and each latency."""
        await self.send()
        start = time.perf_counter()
        end, latencies = start + seconds, list[float]()

        async def call() -> None:
            while time.perf_counter() < end:
                began = time.perf_counter()
                await self.send()
                latencies.append(time.perf_counter() - began)

        await asyncio.gather(*(call() for _ in range(callers)))
        self._hang_up()
        return len(latencies), time.perf_counter() - start, latencies

    async def offered(self, per_s: float, seconds: float) -> list[float]:
        """Let messages leave at a fixed rate; return latencies from when each was due."""
        await self.send()
        start, latencies, tasks = time.perf_counter(), list[float](), []

        async def call(due: float) -> None:
            await self.send()
            latencies.append(time.perf_counter() - due)

        for number in range(round(per_s * seconds)):
            due = start + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(call(due)))
        await asyncio.gather(*tasks)
        self._hang_up()
        return latencies

    async def _line(self) -> Line:
        while self._lines:
            line = self._lines.pop()
            if line.idle_s() < LONGEST_IDLE_S:
                return line
            line.close()
        return await Line.open(self._server)

    def _hang_up(self) -> None:
        while self._lines:
            self._lines.pop().close()
