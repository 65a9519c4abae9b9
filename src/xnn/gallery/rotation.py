"""Sealing every template anew under a fresh data key, after which the old one is destroyed."""

from collections.abc import Callable

from sqlalchemy import bindparam, select, update

from xnn.database import Database, Vault
from xnn.database.tables import TEMPLATES
from xnn.gallery.memory import open_vector
from xnn.gallery.records import info_of
from xnn.gallery.space import associated_data

_AT_ONCE = 1000


def seal_anew(
    database: Database, vault: Vault, *, advance: Callable[[int], None] = lambda _: None
) -> int:
    """Move all templates to a new data key; return how many.

    Works beside a running service, some templates at a time. Stopped half-way, it goes on from
    there when called again. Old copies of the database open no more once their master key is gone:
    rotate that too.

    Args:
        database: The gallery's.
        vault: Opened with the master key that the service will have.
        advance: Told how many more templates are done.

    Raises:
        BusyError: The database is locked, full or away; what is done is done.
        CorruptError: A template does not open.
    """
    current = vault.begin_data_key()
    row_of = TEMPLATES.c.template_id == bindparam("row")
    change = (
        update(TEMPLATES)
        .where(row_of)
        .values({name: bindparam(f"new_{name}") for name in ("data_key_id", "nonce", "sealed")})
    )
    total, after = 0, ""
    while True:
        with database.writing() as connection:
            rows = connection.execute(
                select(TEMPLATES)
                .where(TEMPLATES.c.template_id > after, TEMPLATES.c.data_key_id != current)
                .order_by(TEMPLATES.c.template_id)
                .limit(_AT_ONCE)
            ).all()
            if not rows:
                break
            vault.refresh(connection)
            values = []
            for row in rows:
                content = open_vector(vault, connection, row).astype("<f4").tobytes()
                bound = associated_data(row.tenant, info_of(row))
                sealed = vault.seal(content, bound)
                values.append(
                    {
                        "row": row.template_id,
                        "new_data_key_id": sealed.data_key_id,
                        "new_nonce": sealed.nonce,
                        "new_sealed": sealed.sealed,
                    }
                )
            connection.execute(change, values)
        total, after = total + len(rows), rows[-1].template_id
        advance(len(rows))
    vault.destroy_idle_keys()
    return total
