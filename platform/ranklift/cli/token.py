"""`ranklift token`: who may call the servers."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from ranklift.cli.audit import instant
from ranklift.cli.options import Home
from ranklift.cli.output import notes, out
from ranklift.v1.access import Role
from ranklift.v1.errors import InvalidRequest
from ranklift.v1.rate import Rate

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the tokens of callers.")
Name = Annotated[str, typer.Argument(help="Who will use it, for lists and the audit log.")]


@app.command(epilog="Example: ranklift token create shop --role rank --role events --rate 200")
def create(
    name: Name,
    role: Annotated[list[Role], typer.Option("--role", help="What it may; repeat for several.")],
    expires: Annotated[
        str, typer.Option(help="When it ends, e.g. 2027-01-01. Never when not given.")
    ] = "",
    rate: Annotated[
        float | None, typer.Option(help="Calls and events a second. No limit when not given.")
    ] = None,
    burst: Annotated[
        float | None, typer.Option(help="How many at once; twice the rate when not given.")
    ] = None,
    home: Home = None,
) -> None:
    """Make a token and print it: it cannot be shown again."""
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings

    limit = _rate(rate, burst)
    until = instant("expires", expires) if expires else None
    with registry_of(load_settings(home=home)) as registry:
        text = registry.tokens.create(name, role, expires=until, rate=limit)
    notes.print(f"the token of {name}, shown this once; servers know it within two seconds:")
    typer.echo(text)


@app.command("list", epilog="Example: ranklift token list")
def list_(home: Home = None) -> None:
    """List all tokens, the revoked ones too."""
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings

    table = Table("token", "roles", "rate", "created", "expires", "revoked", box=None)
    with registry_of(load_settings(home=home)) as registry:
        for known in registry.tokens.list():
            token = known.token
            table.add_row(
                token.name,
                ", ".join(sorted(token.roles)),
                f"{token.rate.per_second:g}/s, {token.rate.burst:g} at once" if token.rate else "-",
                f"{known.created:%Y-%m-%d}",
                f"{token.expires:%Y-%m-%d %H:%M}" if token.expires else "-",
                f"{known.revoked:%Y-%m-%d %H:%M}" if known.revoked else "-",
            )
    out.print(table if table.row_count else "no tokens yet")


@app.command(epilog="Example: ranklift token revoke shop")
def revoke(name: Name, home: Home = None) -> None:
    """Make a token worthless, for good."""
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings

    with registry_of(load_settings(home=home)) as registry:
        registry.tokens.revoke(name)
    out.print(f"{name} is revoked; servers refuse it within two seconds")


def _rate(per_second: float | None, burst: float | None) -> Rate | None:
    if per_second is None:
        if burst is not None:
            raise InvalidRequest.of("burst", "comes with --rate")
        return None
    at_once = max(1.0, 2 * per_second) if burst is None else burst
    if not (0 < per_second <= 1e9 and 1 <= at_once <= 1e9):
        raise InvalidRequest.of("rate", "must be above 0, and the burst at least 1")
    return Rate(per_second, at_once)
