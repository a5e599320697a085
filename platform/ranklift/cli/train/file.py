"""A file instead of flags: one table a stage, and what all stages share above them.

    data = "data/cranfield"        for every stage that reads data
    seed = 3

    [sft]
    start = "teacher-lm@1"
    learning_rate = 2e-5

Keys are the flags' names; a flag on the command line wins. TOML, or the same as YAML.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ranklift.v1.errors import InvalidRequest, NotFound, Violation, refuse_if_any

SUFFIXES = {".toml": "TOML", ".yaml": "YAML", ".yml": "YAML"}


def _fill(context: typer.Context, file: Path | None) -> Path | None:
    if file is not None:
        group = context.parent.command if context.parent else context.command
        commands: Mapping[str, Any] = getattr(group, "commands", {})
        found = defaults_of(file, context.info_name or "", _flags(context, commands))
        context.default_map = {**(context.default_map or {}), **_taken(context, file, found)}
    return file


def _taken(context: typer.Context, file: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the flags take; a lone one where there may be several is a list.

    Raises:
        InvalidRequest: one is of another type, or out of range.
    """
    flags: dict[str, Any] = {each.name: each for each in context.command.get_params(context)}
    taken, violations = {}, []
    for key, value in found.items():
        flag = flags[key]
        given = [value] if flag.multiple and not isinstance(value, list) else value
        try:
            if isinstance(given, list) and not flag.multiple:
                raise typer.BadParameter("takes one value, not a list of them")
            if isinstance(given, bool) and not flag.is_flag:
                raise typer.BadParameter("is neither on nor off; give a value")
            flag.process_value(context, given)
        except typer.BadParameter as error:
            violations.append(Violation(f"{file}: {key}", error.message))
        taken[key] = given
    refuse_if_any(violations)
    return taken


TrainingFile = Annotated[
    Path | None,
    typer.Option("--file", is_eager=True, callback=_fill, help="Settings, as TOML or YAML."),
]


def defaults_of(file: Path, stage: str, flags: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """Return what `file` says for a stage; `flags` are the names of each stage's flags.

    A key of YAML without a value says nothing.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: it cannot be read, or holds a name that is no flag.
    """
    content = _content(file)
    everywhere = frozenset().union(*flags.values())
    violations = []
    for key, value in content.items():
        if key in flags and isinstance(value, Mapping):
            violations += [
                Violation(f"{file}: {key}.{name}", f"{key} has no such flag; it has {_list(known)}")
                for known in [flags[key]]
                for name in value
                if name not in known
            ]
        elif key not in everywhere or isinstance(value, Mapping):
            violations.append(
                Violation(f"{file}: {key}", f"is neither a stage ({_list(flags)}) nor a flag")
            )
    refuse_if_any(violations)
    shared = {key: value for key, value in content.items() if key in flags[stage]}
    own = content.get(stage, {})
    said = shared | dict(own if isinstance(own, Mapping) else {})
    return {key: value for key, value in said.items() if value is not None}


def _content(file: Path) -> Mapping[str, Any]:
    kind = SUFFIXES.get(file.suffix.lower())
    if kind is None:
        raise InvalidRequest.of("file", f'"{file}" must end in {", ".join(SUFFIXES)}')
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise NotFound.of("file", f'"{file}" cannot be read: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise InvalidRequest.of("file", f'"{file}" is not UTF-8 text') from error
    if kind == "TOML":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidRequest.of("file", f'"{file}" is not TOML: {error}') from error
    import yaml

    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InvalidRequest.of(
            "file", f'"{file}" is not YAML: {" ".join(str(error).split())}'
        ) from error
    if not isinstance(content, Mapping):
        raise InvalidRequest.of("file", f'"{file}" holds no table of settings')
    return content


def _flags(context: typer.Context, commands: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the names of the flags of every stage that takes a file."""
    return {
        name: names - {"file"}
        for name, command in commands.items()
        if "file"
        in (names := frozenset(each.name for each in command.get_params(context) if each.name))
    }


def _list(names: Mapping[str, object] | frozenset[str]) -> str:
    return ", ".join(sorted(names))
