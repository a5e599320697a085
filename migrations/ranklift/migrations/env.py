"""What Alembic runs: brings one connection to the schema asked for.

`upgrade` hands over its connection, inside a transaction. The `alembic` command names a database
with `-x url=...` instead.
"""

from __future__ import annotations

from typing import Literal

from alembic import context
from sqlalchemy import Connection, create_engine

from ranklift.store.columns import Instant, Span
from ranklift.store.tables import Base


def render(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write our column types as what they are in the database: a revision outlives the code."""
    if kind == "type" and isinstance(item, Instant):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Span):
        return "sa.BigInteger()"
    return False


def run(connection: Connection) -> None:
    """Run the revisions that were asked for on `connection`."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite alters a table by building it anew.
        render_as_batch=True,
        render_item=render,
        # APScheduler makes and owns its table.
        include_name=lambda name, kind, _parents: (
            not (kind == "table" and name == "apscheduler_jobs")
        ),
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = create_engine(context.get_x_argument(as_dictionary=True)["url"])
    with engine.begin() as opened:
        run(opened)
    engine.dispose()
