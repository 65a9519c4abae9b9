"""What the service stores: tables, transactions, migrations, and sealing at rest."""

from xnn.database.connect import Database, open_database
from xnn.database.master_key import MasterKey, make_master_key, read_master_key
from xnn.database.vault import Sealed, Vault

__all__ = [
    "Database",
    "MasterKey",
    "Sealed",
    "Vault",
    "make_master_key",
    "open_database",
    "read_master_key",
]
