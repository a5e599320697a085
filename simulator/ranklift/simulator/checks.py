"""One clear line for each field of a value that is out of range."""

from __future__ import annotations

from collections.abc import Mapping

from ranklift.v1.errors import InvalidRequest, Violation


def refuse(where: str, value: object, checks: Mapping[str, tuple[bool, str]]) -> None:
    """Raise InvalidRequest for the fields, by name, that are not (right, what is allowed)."""
    violations = [
        Violation(f"{where}.{name}", f"{getattr(value, name)}, must be {allowed}")
        for name, (right, allowed) in checks.items()
        if not right
    ]
    if violations:
        raise InvalidRequest(violations)
