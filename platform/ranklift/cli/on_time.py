"""Running what must send on time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_on_time(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose timers are kept to microseconds.

    The usual selector sleeps in whole milliseconds: too coarse to send on time.
    """
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        return runner.run(work)
