"""The only door to raw key bytes. Importing this module is what a reviewer looks for.

Needed to test the derivation against published vectors and to hand a key to another program. Every
other use is a mistake: pass the `SecretKey` instead.
"""

from typing import Final, final

from xnn.errors import SecretError
from xnn.secret.key import KeyScope, SecretKey


@final
class _Token:
    def __repr__(self) -> str:
        return "raw_key_access.TOKEN"


TOKEN: Final = _Token()
"""Say it out loud: pass this to show that raw bytes are meant."""


def export_root(key: SecretKey, token: object) -> bytes:
    """Return the 32 root bytes of a key.

    Raises:
        SecretError: The token is missing.
    """
    _check(token)
    return key._lend_root()


def import_root(root: bytes, token: object, *, scope: KeyScope, created_at: str) -> SecretKey:
    """Make a key from raw bytes, for test vectors and keys of another program.

    Raises:
        SecretError: The token is missing.
        ConfigError: The root is not 32 bytes.
    """
    _check(token)
    return SecretKey(root, scope=scope, created_at=created_at)


def _check(token: object) -> None:
    if token is not TOKEN:
        raise SecretError("raw key bytes need raw_key_access.TOKEN; pass the SecretKey instead")
