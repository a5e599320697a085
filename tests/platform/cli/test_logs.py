"""Servers log to stderr, and what cannot be logged fails nothing."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from ranklift.cli.logs import configure_logs


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    configure_logs()
    yield
    structlog.reset_defaults()


def test_a_line_is_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("x").info("something_happened", count=3)
    captured = capsys.readouterr()
    assert captured.out == ""
    line = json.loads(captured.err)
    assert (line["event"], line["count"], line["level"]) == ("something_happened", 3, "info")


def test_a_traceback_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError:
        structlog.get_logger("x").exception("it_failed")
    line = json.loads(capsys.readouterr().err)
    assert line["exception"][0]["exc_type"] == "ZeroDivisionError"


def test_a_closed_stderr_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    structlog.get_logger("x").warning("nobody_reads_this")
