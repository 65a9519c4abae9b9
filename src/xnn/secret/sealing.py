"""Sealing under a passphrase: scrypt (RFC 7914), then AES-256-GCM with the header authenticated."""

import secrets
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from xnn.errors import CorruptError, PassphraseError
from xnn.files import canonical_json
from xnn.stretching import to_bytes, to_text


def seal(header: dict[str, Any], secret: bytes, *, wrapping_key: bytes) -> dict[str, Any]:
    """Return the header with the secret sealed beside it; altering either is noticed."""
    nonce = secrets.token_bytes(12)
    body = AESGCM(wrapping_key).encrypt(nonce, secret, canonical_json(header))
    return header | {"nonce": to_text(nonce), "sealed": to_text(body)}


def unseal(content: dict[str, Any], *, wrapping_key: bytes) -> bytes:
    """Return the secret.

    Raises:
        PassphraseError: Wrong passphrase, or the file was altered.
        CorruptError: The sealed fields are missing or not base64.
    """
    header = {k: v for k, v in content.items() if k not in ("nonce", "sealed")}
    try:
        nonce, body = to_bytes(content["nonce"]), to_bytes(content["sealed"])
    except KeyError as error:
        raise CorruptError(f"the sealed file has no {error.args[0]!r}; restore it") from error
    try:
        return AESGCM(wrapping_key).decrypt(nonce, body, canonical_json(header))
    except (InvalidTag, ValueError) as error:
        raise PassphraseError(
            "the sealed file does not open: the passphrase is wrong, or the file was altered"
        ) from error
