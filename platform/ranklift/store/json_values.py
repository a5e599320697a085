"""Frozen values read from JSON's types, strictly, with every fault named by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from ranklift.v1.errors import InvalidRequest, Violation, refuse_if_any

T = TypeVar("T")

_ALLOWED = {
    "bool_type": "true or false",
    "date_time_type": "an instant",
    "dataclass_type": "a table of keys",
    "dict_type": "a table of keys",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "list_type": "a list",
    "model_type": "a table of keys",
    "string_type": "text",
    "tuple_type": "a list",
}
_KINDS: Mapping[type, str] = {
    dict: "a table",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "empty",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_MAX_QUOTED = 32
_MAX_DEPTH = 50  # whatever holds itself has no end
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")


def read_value(adapter: TypeAdapter[T], content: object, field: str) -> T:
    """Return the value that plain data describe.

    Raises:
        InvalidRequest: every unknown key and every value of a wrong type, by its path below
            `field`.
    """
    try:
        # Strictly, so that "yes" is no number; only as JSON does strictness take a list for a
        # tuple and text for an enum.
        return adapter.validate_json(to_json(content), strict=True)
    except ValidationError as error:
        refuse_if_any(_violation(detail, field) for detail in error.errors(include_url=False))
        raise AssertionError("an invalid value has an error") from error
    except ValueError as error:  # half a character, or a list that holds itself
        refuse_if_any(
            Violation(path_of(field, keys), "is not valid Unicode") for keys in _broken(content, ())
        )
        raise InvalidRequest.of(path_of(field, ()), "cannot be read: holds itself") from error


def path_of(field: str, keys: Sequence[str | int]) -> str:
    """Return "analysis.guardrails[1].margin"."""
    path = field
    for key in keys:
        dot = "" if path.endswith((": ", ".")) or not path else "."
        path += f"[{key}]" if isinstance(key, int) else f"{dot}{key}"
    return path.rstrip(": .")


def kind_of(value: object) -> str:
    """Return what a value read from a file is, in words: "a table", "text"."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def _broken(content: object, keys: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Return where texts are that cannot be encoded: JSON can spell half a character."""
    if len(keys) > _MAX_DEPTH:
        return
    if isinstance(content, str):
        try:
            content.encode()
        except UnicodeEncodeError:
            yield keys
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _broken(str(key), keys)
            yield from _broken(value, (*keys, str(key)))
    elif isinstance(content, list):
        for i, value in enumerate(content):
            yield from _broken(value, (*keys, i))


def _violation(detail: Any, field: str) -> Violation:
    return Violation(path_of(field, detail["loc"]), _reason(detail))


def _reason(detail: Any) -> str:
    kind: str = detail["type"]
    given = str(detail["input"])[:_MAX_QUOTED]
    if kind in _UNKNOWN_KEY:
        return "is no known key"
    if kind in _MISSING:
        return "is missing"
    if kind in _ALLOWED:
        return f"is {kind_of(detail['input'])}, must be {_ALLOWED[kind]}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{given} is not allowed, must be {words} {detail['ctx'][bound]:g}"
    if kind == "literal_error":
        allowed = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"{given} is not allowed, must be one of {allowed}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    message: str = detail["msg"]
    return f"cannot be read: {message[0].lower()}{message[1:]}"
