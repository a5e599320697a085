"""How servers log: one line per event on stderr, as JSON unless a person watches."""

from __future__ import annotations

import sys

import structlog


def configure_logs() -> None:
    """Set up structlog for a server process."""
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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
