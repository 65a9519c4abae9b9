"""The browser writes the bytes of the wire format's vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from xnn.wire.authenticity import mac_key
from xnn.wire.codec import decode
from xnn.wire.limits import WireLimits

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "wire_v1").glob("*.json"))

ENCODE = """async (vector) => {
  const { encode, macKey, fromHex, hex } = await import('/console/wire/message.js');
  const numbers = vector.dtype === 'fixed32'
    ? new Float64Array(fromHex(vector.records_float64_hex).buffer)
    : new Float32Array(fromHex(vector.records_float32_hex).buffer);
  const [b, m, e] = vector.shape;
  const records = Array.from({ length: b }, (_, i) => numbers.slice(i * m * e, (i + 1) * m * e));
  const message = {
    records, shape: [m, e], scheme: vector.scheme, bundleId: vector.bundle_id,
    keyId: vector.key_id, dtype: vector.dtype, requestId: vector.request_id,
    nonce: fromHex(vector.nonce_hex), timestampMs: vector.timestamp_ms,
  };
  return hex(await encode(message, await macKey(vector.api_key)));
}"""


@pytest.fixture(scope="module")
def url(serve_pages, tmp_path_factory: pytest.TempPathFactory) -> str:
    return serve_pages(tmp_path_factory.mktemp("files"))


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 6


def test_bytes_equal_the_vectors(open_page, url: str) -> None:
    watched = open_page(url)
    for path in VECTORS:
        vector = json.loads(path.read_text(encoding="utf-8"))
        assert watched.run(ENCODE, vector) == vector["message_hex"], path.name


def test_numbers_round_as_numpy_does(open_page, url: str) -> None:
    """Every exponent of float16, ties and neighbours of ties included."""
    watched = open_page(url)
    halves = np.arange(0, 0x7BFF, 37, dtype=np.uint16).view(np.float16).astype(np.float32)
    next_ones = np.nextafter(halves.astype(np.float16), np.float16(np.inf)).astype(np.float32)
    ties = ((halves.astype(np.float64) + next_ones) / 2).astype(np.float32)
    around = [ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(1e9)), -ties]
    values = np.concatenate(around)
    script = """async (values) => {
      const { half } = await import('/console/wire/numbers.js');
      return values.map((value) => half(Math.fround(value)));
    }"""
    found = np.array(watched.run(script, values.tolist()), dtype=np.uint16)
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16)
    assert np.isfinite(wanted).all()
    np.testing.assert_array_equal(found, wanted.view(np.uint16))


def test_a_composed_message_is_read_by_the_server(open_page, url: str) -> None:
    vector = json.loads(VECTORS[0].read_text(encoding="utf-8"))
    script = """async ({ key, bundleId }) => {
      const { compose, encode, hex, macKey, renew } = await import('/console/wire/message.js');
      const first = compose({ records: [Float32Array.of(1, -2, 3)], shape: [1, 3], scheme: 'xnn',
                              bundleId, dtype: 'float32' });
      const mac = await macKey(key);
      return Promise.all([first, renew(first)].map(async (made) => hex(await encode(made, mac))));
    }"""
    watched = open_page(url)
    asked = {"key": vector["api_key"], "bundleId": vector["bundle_id"]}
    contents = [bytes.fromhex(text) for text in watched.run(script, asked)]
    key = mac_key(bytes.fromhex(vector["secret_hex"]))
    first, again = (decode(content, key, limits=WireLimits()) for content in contents)
    assert first.records.tolist() == [[[1.0, -2.0, 3.0]]]
    assert first.request_id == again.request_id  # the same request
    assert first.nonce != again.nonce  # and no replay


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("float32", "NaN"), ("float16", "65520"), ("int8", "Infinity"), ("fixed32", "1.5")],
)
def test_what_cannot_be_sent_is_refused(open_page, url: str, dtype: str, value: str) -> None:
    script = """async ([dtype, value]) => {
      const { pack } = await import('/console/wire/numbers.js');
      try { pack([Float32Array.of(1, Number(value))], dtype); return ''; }
      catch (error) { return error.message; }
    }"""
    assert "use float32" in (text := open_page(url).run(script, [dtype, value])) or "NaN" in text
