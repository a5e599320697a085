"""Commands that change something leave an entry, whatever came of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ranklift.cli import command, main
from ranklift.cli.audit import CHANGES, CHANGES_ALL, READS


def commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    for name, each in inner.items():
        yield from commands(each, f"{path} {name}".strip())
    if not inner:
        yield path, command


def test_every_command_is_known_to_change_something_or_not() -> None:
    known = [*READS, *CHANGES, *CHANGES_ALL]
    assert sorted(known) == sorted(path for path, _ in commands(typer.main.get_command(command())))


def test_every_change_names_what_it_changes() -> None:
    found = dict(commands(typer.main.get_command(command())))
    for path, parameter in CHANGES.items():
        # A parameter that has to be given, or that is something when it is not.
        [there] = [one for one in found[path].params if one.name == parameter]
        assert there.required or there.default, path
    assert all(CHANGES_ALL.values())


def test_what_the_command_line_changed_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ranklift", *arguments, "--home", str(tmp_path)])
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out

    secret = run("token", "create", "shop", "--role", "rank").strip()
    assert secret.startswith("rl_")
    run("token", "revoke", "shop")
    run("token", "revoke", "absent")
    assert "shop" in run("token", "list")
    told = [json.loads(line) for line in run("audit", "--json").splitlines()]
    assert [(e["method"], e["resource"], e["outcome"][:9], e["actor"]) for e in told] == [
        ("ranklift token create", "shop", "ok", "local"),
        ("ranklift token revoke", "shop", "ok", "local"),
        ("ranklift token revoke", "absent", "NOT_FOUND", "local"),
    ]
    assert secret not in str(told)
