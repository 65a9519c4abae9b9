"""Where each part of a message lies. WIRE_FORMAT.md at the root of the repository says it in words.

offset      bytes  part
0               4  magic "XNNW"
4               1  version
5               1  0
6               2  H, length of the header      all integers little-endian
8               4  P, length of the payload
12              H  header: CBOR
12 + H          P  payload: the numbers of the records
12 + H + P      4  CRC-32 of everything before it
16 + H + P     32  HMAC-SHA256 of everything before it
"""

import struct
import zlib

MAGIC = b"XNNW"
VERSION = 1
PREFIX = struct.Struct("<4sBBHI")
CRC = struct.Struct("<I")
TAG_BYTES = 32
MAX_HEADER_BYTES = 512
"""Header of the longest names is well below it."""
FRAME_BYTES = PREFIX.size + CRC.size + TAG_BYTES
"""All that is neither header nor payload."""


def checksum(content: bytes | memoryview) -> bytes:
    """Return the CRC-32 (as in PNG and gzip): it finds damage and hides nothing."""
    return CRC.pack(zlib.crc32(content))
