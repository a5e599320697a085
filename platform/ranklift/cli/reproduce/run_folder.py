"""Where a run keeps what is done: a killed one goes on, and makes nothing twice.

results/<digest>.json   an experiment's figures beside what made them
models/<digest>         the model versions that later experiments begin with
scores/                 the teachers' scores
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranklift.v1.errors import InvalidRequest


def check_out(folder: Path) -> None:
    """Make the folder of a run, and check that files can be made in it.

    Raises:
        InvalidRequest: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InvalidRequest.of(
            "out", f'"{folder}" cannot be written: {error.strerror}; name another folder'
        ) from error


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder of one run or several; `made_by` is part of every key: sizes and versions."""

    root: Path
    made_by: Mapping[str, Any]

    @property
    def scores(self) -> Path:
        return self.root / "scores"

    def model(self, key: Mapping[str, Any]) -> Path:
        """Return where the model version of a key belongs."""
        return self.root / "models" / self._digest(key)

    def holds(self, key: Mapping[str, Any]) -> bool:
        """Return whether a key's result was made before."""
        return self._result(key).exists()

    def recall(
        self, key: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return what `make` returns, from the file of `key` where it was made before.

        Raises:
            InvalidRequest: that file cannot be read.
        """
        path = self._result(key)
        if not path.exists():
            self._write(path, {"key": self._whole(key), "made": dict(make())})
        try:
            made: dict[str, Any] = json.loads(path.read_text("utf-8"))["made"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidRequest.of(
                "out", f'"{path}" is no result of an experiment; delete it to make it again'
            ) from error
        return made

    def _result(self, key: Mapping[str, Any]) -> Path:
        return self.root / "results" / f"{self._digest(key)}.json"

    def _whole(self, key: Mapping[str, Any]) -> dict[str, Any]:
        return {"made_by": dict(self.made_by), **key}

    def _digest(self, key: Mapping[str, Any]) -> str:
        text = json.dumps(self._whole(key), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @staticmethod
    def _write(path: Path, content: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole at once: a run that is killed while it writes leaves no half result.
        partial = path.with_name(f".{uuid.uuid4().hex}.partial")
        partial.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        os.replace(partial, path)
