"""How a step runs its SQL."""

from __future__ import annotations

from alembic import op


def run_script(script: str) -> None:
    """Runs SQL statements of a step, in the transaction of the migration. SQLAlchemy's own syntax has no meaning here:
    the text goes to the server as it is."""
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None
    cursor = connection.cursor()
    try:
        cursor.execute(script)
    finally:
        cursor.close()
