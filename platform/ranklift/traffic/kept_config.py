"""The last configuration that a gateway read, on disk: it can start while the registry is down."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from ranklift.store.values import Layer, ModelRef, RegisteredExperiment
from ranklift.traffic.routing import ServingConfig

log = structlog.get_logger(__name__)

FILE_NAME = "serving.json"


@dataclass(frozen=True, slots=True)
class RegistryState:
    """What the registry says of serving: the running experiments, the champion and the layers."""

    running: tuple[RegisteredExperiment, ...] = ()
    champion: ModelRef | None = None
    layers: tuple[Layer, ...] = ()

    def config(self) -> ServingConfig:
        return ServingConfig.of(self.running, self.champion, self.layers)


@dataclass(frozen=True, slots=True)
class _File:
    """The file's content; a file of another version of ranklift, or of another registry, is none.

    `registry` is the URL without its password.
    """

    ranklift: str
    registry: str
    saved: datetime
    state: RegistryState


_JSON = TypeAdapter(_File)


class KeptConfig:
    """Keeps the last good state in the file `path`. Gateways of one home share it."""

    def __init__(self, path: Path, registry: str) -> None:
        self._path = path
        self._registry = registry

    def save(self, state: RegistryState) -> None:
        """Replace what is kept, at once or not at all.

        Raises:
            OSError: no room, or no permission; what was kept stays.
        """
        file = _File(version("ranklift"), self._registry, datetime.now(UTC), state)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{FILE_NAME}-")
        try:
            with os.fdopen(number, "wb") as temporary:
                temporary.write(_JSON.dump_json(file))
                temporary.flush()
                os.fsync(temporary.fileno())
            Path(name).replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def load(self) -> tuple[RegistryState, datetime] | None:
        """Return what is kept and when it was saved; None where it is of no use, and the log says
        why."""
        try:
            file = self._read()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
            log.warning("kept_config_ignored", path=str(self._path), why=why)
            return None
        return file.state, file.saved

    def _read(self) -> _File:
        content = self._path.read_bytes()
        file = _JSON.validate_json(content)
        if file.ranklift != version("ranklift"):
            raise ValueError(f"it is of ranklift {file.ranklift}")
        if file.registry != self._registry:
            raise ValueError(f"it is of the registry {file.registry}")
        # Written again it is the same, or there is something in it that was not understood.
        if _JSON.dump_json(file) != content:
            raise ValueError("there is more in it than a configuration")
        return file
