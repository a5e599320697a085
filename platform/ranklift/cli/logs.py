"""How commands and servers log: one line per event on stderr, as JSON unless a person watches."""

from __future__ import annotations

import contextlib
import sys

import structlog


class StderrLogger:
    """Writes lines to whatever stderr is at the moment.

    A line that cannot be written is dropped: a closed terminal must not fail
    the work that the line is about.
    """

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(message, file=sys.stderr, flush=True)  # noqa: T201

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = msg


def configure_logs() -> None:
    """Set up structlog for this process."""
    person = sys.stderr.isatty()
    renderer = (
        structlog.dev.ConsoleRenderer()
        if person
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if person else [structlog.processors.dict_tracebacks]),
            renderer,
        ],
        logger_factory=lambda *_: StderrLogger(),
    )
