"""Names that others chose, made harmless to look at.

A log may name an arm with line breaks, terminal escapes or characters that turn the direction of
writing. Reports for people show these by their code; JSON, CSV and Parquet keep them as they are.
"""

from __future__ import annotations

import unicodedata
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TypeVar, cast

_VALUE = TypeVar("_VALUE")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")  # Persian, Hindi and many emoji are spelled with them


def printable(value: _VALUE) -> _VALUE:
    """Return a report, or any part of one, with every hidden character in its texts spelled out.

    "a\\x1b[31m" -> "a\\\\x1b[31m".
    """
    return cast(_VALUE, _printable(value))


def _printable(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Enum):
        return "".join(map(_shown, value))
    if isinstance(value, tuple):
        return tuple(map(_printable, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value,
            **{field.name: _printable(getattr(value, field.name)) for field in fields(value)},
        )
    return value


def _shown(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
