"""A message, a key, and how somebody who holds the key would frame bytes of his own."""

from collections.abc import Callable

import numpy as np
import pytest

from xnn.wire import Message, compose, mac_key
from xnn.wire.authenticity import tag_of
from xnn.wire.layout import MAGIC, PREFIX, VERSION, checksum

Frame = Callable[[bytes, bytes], bytes]


@pytest.fixture(scope="session")
def key() -> bytes:
    return mac_key(bytes(range(32)))


@pytest.fixture(scope="session")
def message() -> Message:
    numbers = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    return compose(numbers, scheme="paper", bundle_id="ab" * 32)


@pytest.fixture(scope="session")
def frame(key: bytes) -> Frame:
    """Frame a header and a payload with a right checksum and a right tag."""

    def make(header: bytes, payload: bytes = b"") -> bytes:
        content = PREFIX.pack(MAGIC, VERSION, 0, len(header), len(payload)) + header + payload
        content += checksum(content)
        return content + tag_of(content, key)

    return make
