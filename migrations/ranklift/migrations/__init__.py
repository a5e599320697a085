"""How the registry's schema came to be: one Alembic revision per change, oldest first.

`ranklift.store.database.upgrade` runs them, from a checkout and from an installed wheel. A new
revision, from the tables as they are now and a database at the last revision:

    alembic -x url=sqlite:///dev.db revision --autogenerate --rev-id 0002 -m "what changes"
"""
