"""The owner's secret key: one random root, and everything derived from it for one stated scope."""

import datetime
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Never, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from xnn.errors import ConfigError, CorruptError, KeyMismatchError, SecretLeakError
from xnn.files import canonical_json
from xnn.types import KeyId, TokenShape

ROOT_BYTES = 32
DERIVATION_VERSION = 1
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyScope:
    """What a key is for. Public; part of every derivation, so another scope is another key."""

    dataset: str
    """Name the owner gives the data set; one key, one data set."""
    extractor_digest: str
    """SHA-256 of the extractor's card, which names its weights."""
    n: int
    d: int
    scheme: str
    scheme_version: int

    def __post_init__(self) -> None:
        if not self.dataset or len(self.dataset) > 200 or not self.dataset.isprintable():
            raise ConfigError("a data set's name has 1 to 200 printable characters")
        TokenShape(self.n, self.d)

    @property
    def shape(self) -> TokenShape:
        """Tokens and width of the features the key obfuscates."""
        return TokenShape(self.n, self.d)


@final
class SecretKey:
    """A 256-bit root key bound to a scope. Shows its `key_id` and nothing else.

    Made by `SecretKey.generate` or read from a sealed file (`xnn.secret.keyfile`). It cannot be
    copied, pickled or put in a state dict. Raw bytes leave only through
    `xnn.secret.raw_key_access`.

    Trust: owner or device. The cloud, the server and attacks cannot import this module.
    """

    __slots__ = ("_root", "created_at", "key_id", "scope")

    def __init__(self, root: bytes, *, scope: KeyScope, created_at: str) -> None:
        if len(root) != ROOT_BYTES:
            raise ConfigError(f"a root key has {ROOT_BYTES} bytes, got {len(root)}")
        self._root = root
        self.scope = scope
        self.created_at = created_at
        self.key_id = KeyId(self.derive("key-id")[:8].hex())

    @classmethod
    def generate(cls, scope: KeyScope) -> "SecretKey":
        """Make a new key from the operating system's CSPRNG."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(secrets.token_bytes(ROOT_BYTES), scope=scope, created_at=now)

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose, independent of those for any other.

        HKDF-SHA-256 (RFC 5869) over the root, without salt; its info is the canonical JSON of the
        derivation version, the purpose and the scope.
        """
        info = canonical_json(
            {"purpose": purpose, "scope": asdict(self.scope), "xnn": DERIVATION_VERSION}
        )
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(self._root)

    def seal(self, purpose: str, content: bytes) -> bytes:
        """Seal owner-side data under this key (AES-256-GCM, random nonce in front)."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self.derive(purpose)).encrypt(nonce, content, purpose.encode())

    def unseal(self, purpose: str, sealed: bytes) -> bytes:
        """Open what `seal` made.

        Raises:
            CorruptError: It was altered, truncated or sealed under another key or purpose.
        """
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self.derive(purpose)).decrypt(nonce, body, purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise CorruptError(
                f"the sealed {purpose} does not open under key {self.key_id}: altered, truncated "
                "or made under another key; use the key and file that were made together"
            ) from error

    def require(self, **expected: object) -> None:
        """Refuse to be used outside the scope.

        Args:
            expected: `key_id` or fields of `KeyScope`, and the values they must have.

        Raises:
            KeyMismatchError: A field differs; names it with both values.
        """
        for field, wanted in expected.items():
            own = self.key_id if field == "key_id" else getattr(self.scope, field)
            if own != wanted:
                raise KeyMismatchError(
                    f"key {self.key_id} was made for {field}={own!r}, not {wanted!r}; "
                    "use that key's own, or make a key with `xnn key new`"
                )

    def _lend_root(self) -> bytes:
        """Lend the root to the sealed file and to `raw_key_access`, and to nobody else."""
        return self._root

    def __repr__(self) -> str:
        return f"SecretKey(key_id={self.key_id!r}, <redacted>)"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise SecretLeakError("a secret key is not pickled or copied; open its sealed file instead")

    def __copy__(self) -> Never:
        self.__reduce_ex__(None)

    def __deepcopy__(self, memo: dict[int, Any]) -> Never:
        self.__reduce_ex__(None)

    def state_dict(self, *args: object, **kwargs: object) -> Never:
        """Refuse: a key is never part of a model or a checkpoint."""
        raise SecretLeakError("a secret key is not part of a state dict; checkpoints name its id")
