"""The form of an API key: `xnn_<name, 12 hexadecimal digits>_<secret, 43 of base64url>`."""

import base64
import re
import secrets

from xnn.errors import AccessError

SECRET_BYTES = 32
_FORM = re.compile(r"xnn_([0-9a-f]{12})_([A-Za-z0-9_-]{43})\Z")


def fresh_text() -> tuple[str, str]:
    """Return the name of a key that is made now, and its text; from the system's randomness."""
    name = secrets.token_hex(6)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
    return name, f"xnn_{name}_{secret}"


def parse_text(text: str) -> tuple[str, bytes]:
    """Return name and secret of an API key.

    Raises:
        AccessError: It has not the form of one.
    """
    found = _FORM.match(text)
    if found is None:
        raise AccessError(
            f"this is no API key: {len(text)} characters, expected xnn_, 12 hexadecimal digits, _ "
            "and 43 characters; use the key as the operator gave it"
        )
    secret = base64.urlsafe_b64decode(found[2] + "=")
    if base64.urlsafe_b64encode(secret).decode().rstrip("=") != found[2]:
        raise AccessError(
            "this is no API key: its last character was altered; "
            "use the key as the operator gave it"
        )
    return found[1], secret


def secret_of(text: str) -> bytes:
    """Return the 32 secret bytes of an API key, from which a message's key is derived.

    Raises:
        AccessError: It has not the form of one.

    Trust: device or server; never stored.
    """
    return parse_text(text)[1]
