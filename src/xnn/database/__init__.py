"""Where the service keeps what must survive it: tables, connections, migrations."""
