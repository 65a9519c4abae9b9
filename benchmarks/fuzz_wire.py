"""Throw mutated messages at the codec: no crash, no error but WireError, no growth of memory.

    python benchmarks/fuzz_wire.py [--messages 200000] [--seed 0]

Three of eight keep a tag that no longer fits, as damage and strangers make them; five get a fitting
one again, as somebody makes them who holds an API key. Writes
benchmarks/results/fuzz-wire.json.
"""

import argparse
import gc
import json
import random
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import cbor2
import numpy as np

from xnn.errors import WireError
from xnn.wire import DTYPES, Message, WireLimits, decode, encode, mac_key
from xnn.wire.authenticity import tag_of
from xnn.wire.layout import CRC, MAGIC, PREFIX, TAG_BYTES, VERSION, checksum

RESULTS = Path(__file__).parent / "results" / "fuzz-wire.json"
KEY = mac_key(bytes(range(32)))
LIMITS = WireLimits(max_bytes=1 << 16)
_ENDING = CRC.size + TAG_BYTES


def seeds() -> list[bytes]:
    """Return good messages of every dtype, keyed and not, of one record and several."""
    numbers = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
    return [
        encode(
            Message(
                scheme="paper",
                bundle_id="ab" * 32,
                key_id=key_id,
                records=numbers[:count] % 1 if dtype == "fixed32" else numbers[:count],
                dtype=dtype,
                request_id="cd" * 16,
                nonce=bytes(16),
                timestamp_ms=1_764_000_000_000,
            ),
            KEY,
        )
        for dtype in DTYPES
        for key_id in (None, "e2c82fc71dc832d2")
        for count in (1, 3)
    ]


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, insert, repeat, overwrite: one to four times."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + rng.randint(1, 16)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randint(1, 16))
        elif kind == 4:
            data[at:at] = data[at : at + rng.randint(1, 64)]
        elif kind == 5:
            data[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xc0\0\0", b"\x9f\xbf"))
        else:
            data[at : at + 9] = bytes([rng.randrange(256)]) + rng.randbytes(8)
    return bytes(data)


def random_item(rng: random.Random, depth: int = 0) -> bytes:
    """Return CBOR, or nearly, of any kind: tags, bombs, indefinite lengths."""
    major = rng.randrange(8)
    size = rng.choice((0, 1, 2, 3, 8, 23, 24, 255, 65535, (1 << 32) - 1, (1 << 64) - 1))
    head = _head(major, size, rng)
    few = min(size, rng.randint(0, 3))
    if major in (2, 3):
        return head + rng.randbytes(min(size, 32))
    if depth > 4 or major in (0, 1, 7):
        return head
    if major == 6:
        tag = rng.choice((0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 43000))
        return _head(6, tag, rng) + random_item(rng, depth + 1)
    items = few * (2 if major == 5 else 1)
    return head + b"".join(random_item(rng, depth + 1) for _ in range(items))


def _head(major: int, size: int, rng: random.Random) -> bytes:
    if rng.randrange(12) == 0:
        return bytes([major << 5 | rng.choice((28, 29, 30, 31))])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if size < 24:
            return bytes([major << 5 | size])
        if size < 1 << (8 * width):
            return bytes([major << 5 | info]) + size.to_bytes(width, "big")
    return bytes([major << 5])


def mutated_header(header: bytes, rng: random.Random) -> bytes:
    """Return a header that is nearly right, or CBOR that is nothing of ours."""
    kind = rng.randrange(4)
    if kind == 0:
        return random_item(rng)[:512]
    if kind == 1:
        return mutated_bytes(header, rng)[:512]
    fields = list(cbor2.loads(header).items())
    place = rng.randrange(len(fields))
    name = cbor2.dumps(fields[place][0])
    if kind == 2:
        shape = [rng.choice((0, 1, 2, 3, 5, -1, 2**31, 2**32, 2**64)) for _ in range(3)]
        value = cbor2.dumps(shape) if fields[place][0] == "shape" else random_item(rng)
        parts = [cbor2.dumps(n) + cbor2.dumps(v) for n, v in fields]
        parts[place] = name + value
        return (header[:1] + b"".join(parts))[:512]
    rng.shuffle(fields)
    return cbor2.dumps(dict(fields[: rng.randint(0, 8)]))


def framed(header: bytes, payload: bytes) -> bytes:
    """Frame as somebody who holds the API key."""
    content = PREFIX.pack(MAGIC, VERSION, 0, len(header), len(payload)) + header + payload
    content += checksum(content)
    return content + tag_of(content, KEY)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return a message that differs from a good one."""
    kind, body = rng.randrange(8), content[:-_ENDING]
    header_end = PREFIX.size + PREFIX.unpack_from(content)[3]
    header, payload = content[PREFIX.size : header_end], body[header_end:]
    if kind == 0:
        return mutated_bytes(content, rng)
    if kind == 1:  # flipped bits alone: the length stays right
        flipped = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if kind == 2:  # a right frame and checksum, and a tag that is not
        made = framed(mutated_header(header, rng), mutated_bytes(payload, rng))
        return made[:-TAG_BYTES] + content[-TAG_BYTES:]
    if kind == 3:  # right at the end, wrong in the prefix or anywhere
        body = mutated_bytes(body, rng)
        body += checksum(body)
        return body + tag_of(body, KEY)
    if kind < 6:
        return framed(mutated_header(header, rng), payload)
    if kind == 6:
        return framed(header, mutated_bytes(payload, rng))
    same = bytearray(payload)  # of the same length, so that the numbers are reached
    for _ in range(rng.randint(1, 8)):
        same[rng.randrange(len(same))] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return framed(header, bytes(same))


def outcome(content: bytes) -> str:
    """Decode; say how it ended. What is read must be written as the same bytes again.

    Raises:
        AssertionError: Two different messages read as the same one.
    """
    try:
        message = decode(content, KEY, limits=LIMITS)
    except WireError as error:
        return str(error).partition(";")[0].removeprefix("the ")
    if message.dtype != "int8" and encode(message, KEY) != content:
        raise AssertionError(f"read, and written as other bytes: {content.hex()}")
    return "read"


def fuzz(num_messages: int, seed: int) -> Counter[str]:
    """Decode mutated messages; return how they ended.

    Raises:
        AssertionError: With the message, where an error was none of ours.
    """
    rng, good, ends = random.Random(seed), seeds(), Counter[str]()  # noqa: S311
    for _ in range(num_messages):
        content = mutated(rng.choice(good), rng)
        try:
            ends[_kind(outcome(content))] += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {content.hex()}") from error
    return ends


def _kind(text: str) -> str:
    """Drop the numbers of a text: what is counted is the kind of refusal."""
    return " ".join(word for word in text.split() if not any(c.isdigit() for c in word))


def rss_bytes() -> int:
    """Return the resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def main() -> int:
    """Run, measure and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=200_000)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    tenth = max(1, chosen.messages // 10)
    fuzz(tenth, chosen.seed - 1)  # caches fill before anything is compared
    gc.collect()
    resident, ends, start = [rss_bytes()], Counter[str](), time.perf_counter()
    for part in range(10):
        ends += fuzz(tenth, chosen.seed + part)
        resident.append(rss_bytes())
    wall_s = time.perf_counter() - start
    tracemalloc.start()
    fuzz(tenth, chosen.seed)
    gc.collect()
    traced = tracemalloc.get_traced_memory()[0]
    fuzz(tenth, chosen.seed + 1)
    gc.collect()
    traced_growth = tracemalloc.get_traced_memory()[0] - traced
    result = {
        "messages": 10 * tenth,
        "wall_s": round(wall_s, 1),
        "messages_per_s": round(10 * tenth / wall_s),
        "rss_growth_bytes": resident[-1] - resident[0],
        "rss_growth_of_second_half_bytes": resident[-1] - resident[5],
        "traced_growth_bytes": traced_growth,
        "traced_messages": tenth,
        "other_errors": 0,
        "ends": dict(ends.most_common()),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
