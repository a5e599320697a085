"""The audit log at the command line: which commands change something, and `ranklift audit`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any

import typer
from rich.table import Table

from ranklift.cli.options import Home
from ranklift.cli.output import complain, out
from ranklift.rankers.failures import NotFinite, TrainingFailed
from ranklift.v1.errors import InvalidRequest, RequestError

# Commands that change the registry or the log, and the parameter that names what they change.
CHANGES: dict[str, str] = {
    "experiment apply": "file",
    "experiment start": "name",
    "experiment pause": "name",
    "experiment stop": "name",
    "experiment ramp": "name",
    "experiment update": "name",
    "layer set": "name",
    "token create": "name",
    "token revoke": "name",
    "retrain run": "schedule",
    "retrain execute": "run_id",
    "train bm25": "name",
    "train bi-encoder": "name",
    "train cpt": "name",
    "train sft": "name",
    "train distil": "name",
    "train cascade": "name",
    "train convert": "version",
    "forecast make": "experiment",
    "events import": "source",
}
# Those that change all of something. A unit that is forgotten is not named: the audit log would
# remember it.
CHANGES_ALL: dict[str, str] = {
    "events forget": "events",
    "events retain": "events",
    "events compact": "events",
    "ramp step": "ramps",
    "db upgrade": "registry",
}
READS = frozenset(
    {
        "demo", "report", "lift", "power", "evaluate", "reproduce", "audit", "bench rank",
        "simulate replay", "simulate run", "simulate scenario", "simulate aa", "simulate power",
        "simulate coverage", "simulate matrix", "simulator fit", "simulator realism",
        "serve all", "serve gateway", "serve ranker", "serve scheduler",
        "experiment list", "experiment show", "experiment schema", "layer list", "token list",
        "ramp status", "forecast list", "train score", "train pseudo-queries", "retrain list",
        "events export", "events status", "events quarantine",
    }
)  # fmt: skip


def audited(command: Any, path: str = "") -> Any:
    """Have every command of a Click tree that changes something recorded, and return the tree."""
    for name, each in getattr(command, "commands", {}).items():
        audited(each, f"{path} {name}".strip())
    if (path in CHANGES or path in CHANGES_ALL) and command.callback is not None:
        command.callback = _recorded(command.callback, path)
    return command


def _recorded(callback: Callable[..., Any], path: str) -> Callable[..., Any]:
    @wraps(callback)
    def run(**given: Any) -> Any:
        outcome = "INTERNAL"
        try:
            result = callback(**given)
            outcome = "ok"
        except RequestError as error:
            outcome = f"{error.code}: {error}"
            raise
        except (TrainingFailed, NotFinite) as error:
            outcome = f"FAILED: {error}"
            raise
        except (KeyboardInterrupt, typer.Exit, SystemExit):
            outcome = "CANCELLED"
            raise
        finally:
            _record(path, given, outcome)
        return result

    return run


def _record(path: str, given: dict[str, Any], outcome: str) -> None:
    from ranklift.cli.composition import registry_of
    from ranklift.rankers.training.processes import is_writer
    from ranklift.settings import load_settings
    from ranklift.v1.guard import LOCAL, MAX_OUTCOME, AuditEntry

    if not is_writer():  # of the processes that torchrun started, one speaks for all
        return
    entry = AuditEntry(
        time=datetime.now(UTC),
        actor=LOCAL,
        claimed=str(given.get("actor") or _user()),
        method=f"ranklift {path}",
        resource=CHANGES_ALL.get(path) or str(given.get(CHANGES[path]) or ""),
        outcome=outcome[:MAX_OUTCOME],
    )
    try:
        with registry_of(load_settings(home=given.get("home"))) as registry:
            registry.audit.record(entry)
    except RequestError as error:
        complain(f"the audit log has no entry of this: {error}")


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def audit(
    since: Annotated[
        str, typer.Option(help="Only from this time on, e.g. 2026-03-01 or 2026-03-01T12:00Z.")
    ] = "",
    actor: Annotated[
        str, typer.Option(help='Only what this token did, or "local" for the command line.')
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 1_000,
    home: Home = None,
) -> None:
    """Who changed what, and what came of it."""
    from ranklift.cli.composition import registry_of
    from ranklift.settings import load_settings

    start = instant("since", since) if since else None
    with registry_of(load_settings(home=home)) as registry:
        entries = registry.audit.list(since=start, actor=actor, limit=limit)
    if as_json:
        for entry in entries:
            typer.echo(json.dumps(asdict(entry) | {"time": entry.time.isoformat()}))
        return
    table = Table("time", "actor", "claimed", "method", "resource", "outcome", box=None)
    for entry in entries:
        table.add_row(
            f"{entry.time:%Y-%m-%d %H:%M:%S}",
            *(
                text.replace("[", "\\[")
                for text in (
                    entry.actor, entry.claimed, entry.method, entry.resource, entry.outcome
                )
            ),
        )  # fmt: skip
    out.print(table if table.row_count else "no changes yet")


def instant(field: str, text: str) -> datetime:
    """Return the time that `text` says, in UTC where it says no zone.

    Raises:
        InvalidRequest: no time in ISO 8601.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest.of(
            field, f'"{text}" is no time in ISO 8601, e.g. 2026-03-01T12:00Z'
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
