"""`ranklift serve`: the long-running processes, each alone or all in one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from ranklift.cli.options import Home
from ranklift.v1.hosting import share_interpreter

if TYPE_CHECKING:
    from ranklift.settings import Settings

# Objects made and not yet freed before the youngest are looked through; with Python's 700 that is
# every few calls, and for more than a millisecond every tenth time.
GARBAGE = 20_000

app = typer.Typer(no_args_is_help=True, help="Run the servers; stop them with Ctrl-C or SIGTERM.")
log = structlog.get_logger(__name__)

Address = Annotated[str | None, typer.Option(help="host:port to listen on.")]
Rankers = Annotated[
    list[str] | None, typer.Option("--ranker", help="Address of a ranker; repeat for several.")
]
Load = Annotated[
    list[str] | None,
    typer.Option(
        "--load",
        help="model@version to load; repeat for several. "
        "The champion and the running experiments' versions when not given.",
    ),
]


@app.command("all", epilog="Example: ranklift serve all --home .ranklift")
def all_(home: Home = None, load: Load = None) -> None:
    """Gateway, one ranker and the scheduler in one process."""
    from ranklift.cli.servers import gateway, ranker, scheduler

    settings = _settings(home)

    @asynccontextmanager
    async def everything() -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            served = await stack.enter_async_context(ranker(settings, load))
            beside = settings.model_copy(
                update={
                    "gateway": settings.gateway.model_copy(update={"rankers": (served.address,)})
                }
            )
            await stack.enter_async_context(gateway(beside))
            await stack.enter_async_context(scheduler(beside))
            yield

    _run(everything)


@app.command(epilog="Example: ranklift serve gateway --ranker 127.0.0.1:7401")
def gateway(home: Home = None, address: Address = None, rankers: Rankers = None) -> None:
    """The gateway: ranking calls split by experiment, and every other service."""
    from ranklift.cli.servers import gateway as served

    settings = _settings(home, gateway=_given(address=address, rankers=rankers))
    _run(lambda: served(settings))


@app.command(epilog="Example: ranklift serve ranker --load student@3 --address 127.0.0.1:7402")
def ranker(home: Home = None, address: Address = None, load: Load = None) -> None:
    """A ranker: scores documents with the model versions it has loaded."""
    from ranklift.cli.servers import ranker as served

    settings = _settings(home, ranker=_given(address=address))
    _run(lambda: served(settings, load))


@app.command(epilog="Example: ranklift serve scheduler --ranker 127.0.0.1:7401")
def scheduler(home: Home = None, rankers: Rankers = None) -> None:
    """The scheduler: retrains students when their schedules say so, and carries ramps on."""
    from ranklift.cli.servers import scheduler as served

    settings = _settings(home, gateway=_given(rankers=rankers))
    _run(lambda: served(settings))


def _settings(home: object, **sections: dict[str, object]) -> Settings:
    from ranklift.settings import load_settings

    return load_settings(home=home, **{name: values or None for name, values in sections.items()})


def _given(**flags: object) -> dict[str, object]:
    return {name: value for name, value in flags.items() if value is not None}


def _run(server: Callable[[], AbstractAsyncContextManager[object]]) -> None:
    """Keep `server` up until the process is asked to end, then drain it."""

    async def until_stopped() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        share_interpreter()
        async with server():
            # What was imported and loaded stays: to go through it for garbage stops the process
            # for 50 ms and more. What calls leave behind is little, and waits.
            gc.collect()
            gc.freeze()
            gc.set_threshold(GARBAGE)
            await stop.wait()
            log.info("draining")

    asyncio.run(until_stopped())
