"""`ranklift db`: the registry's schema."""

from __future__ import annotations

import typer

from ranklift.cli.options import Home
from ranklift.cli.output import out

app = typer.Typer(no_args_is_help=True, help="Keep the registry's schema up to date.")


@app.command(epilog="Example: ranklift db upgrade --home .ranklift")
def upgrade(home: Home = None) -> None:
    """Bring the registry to this version's schema, creating it where there is none."""
    from ranklift.settings import load_settings
    from ranklift.store.database import upgrade as upgrade_registry

    settings = load_settings(home=home)
    settings.home.mkdir(parents=True, exist_ok=True)
    upgrade_registry(settings.registry_url)
    out.print(f"registry at {settings.registry_url} is up to date")
