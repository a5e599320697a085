"""Frozen values as JSON and back: the settings of a world, readable and by name.

A value is an object with its fields; one of several kinds names its class
under "kind". Durations are seconds, instants ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from functools import partial
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ranklift.v1.errors import InvalidRequest


def encode(value: Any) -> Any:
    """Return a value as JSON has it."""
    if is_dataclass(value):
        kept = {one.name: encode(getattr(value, one.name)) for one in fields(value) if one.init}
        return {"kind": type(value).__name__, **kept}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):  # datetimes are dates
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: encode(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [encode(one) for one in value]
    return value


def decode(at: str, raw: Any, kinds: Mapping[str, type]) -> Any:
    """Return the value that was encoded; a field that is left out has its default.

    `kinds` are the classes that may occur, by name.

    Raises:
        InvalidRequest: the field is `at` with the path in the value.
    """
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise InvalidRequest.of(
            f"{at}.kind", f"{kind!r}, must be one of {', '.join(sorted(kinds))}"
        )
    hints = get_type_hints(kinds[kind])
    known = {one.name for one in fields(kinds[kind]) if one.init}
    given = {}
    for name, value in raw.items():
        if name == "kind":
            continue
        if name not in known:
            raise InvalidRequest.of(
                f"{at}.{name}", f"is no field of {kind}; it has {', '.join(sorted(known))}"
            )
        given[name] = _of_hint(f"{at}.{name}", value, hints[name], kinds)
    try:
        return kinds[kind](**given)
    except (TypeError, ValueError) as error:
        raise InvalidRequest.of(at, f"is no {kind}: {error}") from error


def _of_hint(at: str, raw: Any, hint: Any, kinds: Mapping[str, type]) -> Any:
    if isinstance(raw, dict) and "kind" in raw:
        return decode(at, raw, kinds)
    options = [one for one in get_args(hint) or (hint,) if one is not NoneType]
    if isinstance(raw, list):
        each = next((get_args(one) for one in (hint, *options) if get_origin(one) is tuple), (Any,))
        return tuple(_of_hint(f"{at}[{n}]", one, each[0], kinds) for n, one in enumerate(raw))
    try:
        if get_origin(hint) is tuple:
            raise TypeError("must be a list")
        if timedelta in options and raw is not None:
            return timedelta(seconds=raw)
        if datetime in options and raw is not None:
            return datetime.fromisoformat(raw)
        if date in options and raw is not None:
            return date.fromisoformat(raw)
    except (TypeError, ValueError) as error:
        raise InvalidRequest.of(at, f"{raw!r}: {error}") from error
    if isinstance(raw, dict):
        return {key: _of_hint(f"{at}.{key}", one, Any, kinds) for key, one in raw.items()}
    checks = {float: partial(_is_number, whole=False), int: partial(_is_number, whole=True)}
    if hint in checks and not checks[hint](raw):
        raise InvalidRequest.of(at, f"{raw!r}, must be a number")
    if hint is str and not isinstance(raw, str):
        raise InvalidRequest.of(at, f"{raw!r}, must be a text")
    if get_origin(hint) is Literal and raw not in get_args(hint):
        raise InvalidRequest.of(at, f"{raw!r}, must be one of {get_args(hint)}")
    return raw


def _is_number(value: object, *, whole: bool) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (not whole and isinstance(value, float))
