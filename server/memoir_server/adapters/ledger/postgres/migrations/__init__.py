"""Steps of the schema, run by Alembic. `versions` holds one module per step, each plain SQL."""
