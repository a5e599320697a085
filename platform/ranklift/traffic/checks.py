"""What definitions have in common: which names are allowed, and how what was given is quoted."""

from __future__ import annotations

import re

from ranklift.v1.errors import Violation

MAX_QUOTED_CHARS = 64

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_VERSION = re.compile(r"[a-z0-9_.-]{1,64}")


def quoted(given: str) -> str:
    """Return what was given in quotes, its beginning if it is long."""
    if len(given) <= MAX_QUOTED_CHARS:
        return f'"{given}"'
    return f'"{given[: MAX_QUOTED_CHARS - 3]}..."'


def check_name(field: str, name: str) -> list[Violation]:
    """Return what is wrong with the name of an experiment, an arm, a layer or a model."""
    if _NAME.fullmatch(name):
        return []
    return [_no_name(field, name, 'lower-case letters, digits, "-" and "_"')]


def check_version(field: str, version: str) -> list[Violation]:
    """Return what is wrong with the name of a model version."""
    if _VERSION.fullmatch(version):
        return []
    return [_no_name(field, version, 'lower-case letters, digits, "-", "_" and "."')]


def _no_name(field: str, given: str, allowed: str) -> Violation:
    what = f"{quoted(given)} is no valid name" if given else "is empty"
    return Violation(field, f"{what}, must be 1 to 64 of {allowed}")
