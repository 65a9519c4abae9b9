"""Who made a message: HMAC-SHA256 under a key that both sides derive from the API key.

The API key goes along in HTTP's `Authorization`, so whoever reads that header can make messages.
Against those TLS stands. The tag ties a message to one API key and shows any later change of it.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from xnn.errors import ConfigError

SECRET_BYTES = 32
MAC_KEY_BYTES = 32
_INFO = b"xnn wire v1"


def mac_key(secret: bytes) -> bytes:
    """Derive the key of the tags from an API key's secret: HKDF-SHA256, no salt.

    Args:
        secret: The 32 random bytes in an API key.

    Returns:
        32 bytes, for `encode` and `decode`.

    Raises:
        ConfigError: Not 32 bytes.

    Trust: device and server. As secret as the API key.
    """
    if len(secret) != SECRET_BYTES:
        raise ConfigError(
            f"the secret of an API key has {SECRET_BYTES} bytes, got {len(secret)}; "
            "give the key as it was printed"
        )
    return HKDF(hashes.SHA256(), length=MAC_KEY_BYTES, salt=None, info=_INFO).derive(secret)


def tag_of(content: bytes | memoryview, key: bytes) -> bytes:
    """Return the 32 bytes that only a holder of the key can make for this content.

    Raises:
        ConfigError: The key is not one of `mac_key`.
    """
    if len(key) != MAC_KEY_BYTES:
        raise ConfigError(f"a MAC key has {MAC_KEY_BYTES} bytes, got {len(key)}; use mac_key")
    return hmac.digest(key, content, hashlib.sha256)


def is_tag_of(tag: bytes | memoryview, content: bytes | memoryview, key: bytes) -> bool:
    """Say whether a tag is right, in a time that does not depend on where it is wrong."""
    return hmac.compare_digest(tag, tag_of(content, key))
