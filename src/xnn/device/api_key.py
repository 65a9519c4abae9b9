"""The API key of a device: read from the environment or a file, shown to nobody."""

import os
import stat
from pathlib import Path
from typing import Never, final

from xnn.errors import AccessError, SecretLeakError
from xnn.files import disk_errors
from xnn.wire.authenticity import mac_key
from xnn.wire.key_text import parse_text

ENVIRONMENT_NAME = "XNN_API_KEY"
_LARGEST_FILE_BYTES = 4096


@final
class ApiKey:
    """Who a device is to the service. Not copied, not pickled; its text is redacted.

    Args:
        text: `xnn_<name>_<secret>`, as the operator gave it.

    Raises:
        AccessError: Not of this form.

    Trust: device. Whoever holds it can do what its roles allow.
    """

    __slots__ = ("_mac_key", "_text", "name")

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        name, secret = parse_text(self._text)
        self.name = name
        """Its public part, which logs may show."""
        self._mac_key = mac_key(secret)

    def __repr__(self) -> str:
        return f"ApiKey({self.name}, <redacted>)"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise SecretLeakError("an API key is not copied or pickled; read it again where needed")

    @property
    def authorization(self) -> str:
        """Return the value of HTTP's header."""
        return f"Bearer {self._text}"

    @property
    def mac_key(self) -> bytes:
        """Return the key of the messages' tags."""
        return self._mac_key


def read_api_key(path: Path | None = None) -> ApiKey:
    """Return the API key of a file, or of the environment where no file is named.

    Args:
        path: A file of one line that nobody but its owner can read.

    Raises:
        AccessError: There is none, it is malformed, or others may read the file.
        StorageError: The file cannot be read.
    """
    if path is None:
        text = os.environ.get(ENVIRONMENT_NAME, "")
        if not text:
            raise AccessError(
                f"no API key: set {ENVIRONMENT_NAME}, or name a file that only you can read"
            )
        return ApiKey(text)
    with disk_errors("read the API key", path), path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        content = file.read(_LARGEST_FILE_BYTES)
    if os.name == "posix" and mode & 0o077:
        raise AccessError(
            f"{path.name!r} can be read by others (mode {mode:03o}); "
            "run chmod 600 on it, and have the key replaced if others are not trusted"
        )
    return ApiKey(content.decode("ascii", errors="replace"))


def as_api_key(given: str | ApiKey | None) -> ApiKey:
    """Return the key that a caller means: None is that of the environment.

    Raises:
        AccessError: There is none, or it is malformed.
    """
    if given is None:
        return read_api_key()
    return given if isinstance(given, ApiKey) else ApiKey(given)
