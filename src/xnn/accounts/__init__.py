"""API keys, roles, tenants, and the log of who did what."""

from xnn.accounts.audit import AuditEntry, AuditEvent, AuditLog, ChainState
from xnn.accounts.keys import Accounts, ApiKey, Role
from xnn.wire.key_text import secret_of

__all__ = [
    "Accounts",
    "ApiKey",
    "AuditEntry",
    "AuditEvent",
    "AuditLog",
    "ChainState",
    "Role",
    "secret_of",
]
