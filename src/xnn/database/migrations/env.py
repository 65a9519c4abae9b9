"""Where alembic gets its connection: from the caller, within whose transaction it works."""

from alembic import context

from xnn.database.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
