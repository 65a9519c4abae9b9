"""The vectors of wire format 1, by the codec and by a reader written from WIRE_FORMAT.md alone."""

import base64
import hmac
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xnn.wire import Message, WireLimits, decode, encode, mac_key

ROOT = Path(__file__).parents[2]
VECTORS = sorted((ROOT / "tests" / "vectors" / "wire_v1").glob("*.json"))


@pytest.fixture(params=VECTORS, ids=lambda path: path.stem)
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads(request.param.read_text())


def kind_of(vector: dict[str, Any]) -> str:
    """The numbers of fixed32 do not fit a float32."""
    return "float64" if vector["dtype"] == "fixed32" else "float32"


def message_of(vector: dict[str, Any]) -> Message:
    kind = kind_of(vector)
    numbers = np.frombuffer(bytes.fromhex(vector[f"records_{kind}_hex"]), kind)
    return Message(
        scheme=vector["scheme"],
        bundle_id=vector["bundle_id"],
        key_id=vector["key_id"],
        records=numbers.reshape(vector["shape"]),
        dtype=vector["dtype"],
        request_id=vector["request_id"],
        nonce=bytes.fromhex(vector["nonce_hex"]),
        timestamp_ms=vector["timestamp_ms"],
    )


def test_the_codec_writes_the_vector(vector: dict[str, Any]) -> None:
    key = mac_key(bytes.fromhex(vector["secret_hex"]))
    assert key.hex() == vector["mac_key_hex"]
    written = encode(message_of(vector), key).hex()
    parts = ("prefix_hex", "header_hex", "payload_hex", "crc32_hex", "tag_hex")
    assert written == "".join(vector[part] for part in parts)
    assert written == vector["message_hex"]


def test_the_codec_reads_the_vector(vector: dict[str, Any]) -> None:
    key = bytes.fromhex(vector["mac_key_hex"])
    read = decode(bytes.fromhex(vector["message_hex"]), key, limits=WireLimits())
    wanted = message_of(vector)
    names = ("scheme", "bundle_id", "key_id", "dtype", "request_id", "nonce", "timestamp_ms")
    for name in names:
        assert getattr(read, name) == getattr(wanted, name)
    assert read.records.shape == wanted.records.shape
    assert read.records.dtype == kind_of(vector)
    assert read.records.tobytes().hex() == vector[f"read_{kind_of(vector)}_hex"]


def test_the_records_listed_are_the_records_in_hexadecimal(vector: dict[str, Any]) -> None:
    listed = np.array(vector["records"], dtype=kind_of(vector))
    assert listed.tobytes().hex() == vector[f"records_{kind_of(vector)}_hex"]


# A second reader, from the document, with nothing of ours


def cbor_item(content: bytes, at: int) -> tuple[Any, int]:
    major, info = content[at] >> 5, content[at] & 31
    at += 1
    if info < 24:
        value = info
    else:
        size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
        value, at = int.from_bytes(content[at : at + size]), at + size
    if major == 0:
        return value, at
    if major in (2, 3):
        raw = content[at : at + value]
        return (raw if major == 2 else raw.decode()), at + value
    if major == 4:
        items = []
        for _ in range(value):
            item, at = cbor_item(content, at)
            items.append(item)
        return items, at
    assert (major, info) == (7, 22)
    return None, at


def numbers_of(payload: bytes, shape: list[int], dtype: str) -> list[float]:
    count = shape[0] * shape[1] * shape[2]
    if dtype == "float32":
        return list(struct.unpack(f"<{count}f", payload))
    if dtype == "float16":
        return list(struct.unpack(f"<{count}e", payload))
    if dtype == "fixed32":
        return [(step + 0.5) / 2**32 for step in struct.unpack(f"<{count}I", payload)]
    scales = struct.unpack(f"<{shape[0]}f", payload[: 4 * shape[0]])
    steps = struct.unpack(f"{count}b", payload[4 * shape[0] :])
    each = shape[1] * shape[2]
    return [scales[i // each] * step for i, step in enumerate(steps)]


def test_the_document_is_enough_to_read_a_vector(vector: dict[str, Any]) -> None:
    content = bytes.fromhex(vector["message_hex"])
    magic, version, zero, header_size, payload_size = struct.unpack("<4sBBHI", content[:12])
    assert (magic, version, zero) == (b"XNNW", 1, 0)
    assert len(content) == 48 + header_size + payload_size
    header, payload = content[12 : 12 + header_size], content[12 + header_size : -36]
    assert struct.unpack("<I", content[-36:-32])[0] == zlib.crc32(content[:-36])
    text = vector["api_key"].removeprefix("xnn_").partition("_")[2]
    secret = base64.urlsafe_b64decode(text + "=")
    extracted = hmac.digest(bytes(32), secret, "sha256")
    key = hmac.digest(extracted, b"xnn wire v1\x01", "sha256")
    assert hmac.digest(key, content[:-32], "sha256") == content[-32:]
    assert header[0] == 0xA8
    fields, at = {}, 1
    for _ in range(8):
        name, at = cbor_item(header, at)
        fields[name], at = cbor_item(header, at)
    assert at == len(header)
    assert fields == {
        "dtype": vector["dtype"],
        "nonce": bytes.fromhex(vector["nonce_hex"]),
        "shape": vector["shape"],
        "key_id": vector["key_id"],
        "scheme": vector["scheme"],
        "bundle_id": bytes.fromhex(vector["bundle_id"]),
        "request_id": bytes.fromhex(vector["request_id"]),
        "timestamp_ms": vector["timestamp_ms"],
    }
    numbers = np.array(numbers_of(payload, vector["shape"], vector["dtype"]))
    kind = kind_of(vector)
    assert numbers.astype(kind).tobytes().hex() == vector[f"read_{kind}_hex"]


def test_the_example_of_the_document_is_a_vector() -> None:
    page = (ROOT / "WIRE_FORMAT.md").read_text()
    (block,) = re.findall(r"^```text\n(secret.*?)^```", page, re.DOTALL | re.MULTILINE)
    vector = json.loads((VECTORS[0].parent / "float32.json").read_text())
    stated, _, lines = block.partition("\n\n")
    assert stated.split() == ["secret", vector["secret_hex"], "MAC", "key", vector["mac_key_hex"]]
    octets = re.compile(r"[0-9a-f]{2}(?: {1,2}[0-9a-f]{2})*(?=  |$)")
    found = [octets.match(line) for line in lines.splitlines()]
    example = "".join(match[0].replace(" ", "") for match in found if match)
    assert example == vector["message_hex"]
