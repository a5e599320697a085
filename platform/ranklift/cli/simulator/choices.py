"""Choices whose names are known to what is imported only when a command runs."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

Choice = TypeVar("Choice", bound=StrEnum)


def chosen(field: str, text: str, kind: type[Choice]) -> Choice:
    """Return the member of `kind` that `text` names.

    Raises:
        InvalidRequest: it names none.
    """
    from ranklift.v1.errors import InvalidRequest

    try:
        return kind(text)
    except ValueError as error:
        raise InvalidRequest.of(field, f'"{text}", must be one of {", ".join(kind)}') from error
