"""[SECRET] Keys of the owner. Nothing the cloud, a server or an attack runs may import this."""

from xnn.secret.key import KeyScope, SecretKey
from xnn.secret.keyfile import KeyFile, KeyInfo, destroy_key, read_key_info

__all__ = ["KeyFile", "KeyInfo", "KeyScope", "SecretKey", "destroy_key", "read_key_info"]
