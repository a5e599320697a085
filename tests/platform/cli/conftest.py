"""What tests of the commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from ranklift.cli import main


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Commands configure the process's logs; the tests after them must not inherit that."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `ranklift train ARGUMENTS` on a home of the test's own; return the exit code."""
    monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ranklift", "train", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return call
