"""What somebody declares in a TOML, YAML or JSON file, as plain values."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ranklift.v1.errors import InvalidRequest

_READERS: Mapping[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


def read_declaration(path: Path) -> object:
    """Return the content of a file by its ending.

    Raises:
        InvalidRequest: the file cannot be read, or is malformed.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidRequest.of(
            str(path), f'"{path.suffix}" is no known ending, must be one of {", ".join(_READERS)}'
        )
    try:
        return read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest.of(str(path), f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        # YAML's messages have several lines, a refusal has one.
        reason = " ".join(str(error).split())
        raise InvalidRequest.of(str(path), f"is malformed: {reason}") from error
