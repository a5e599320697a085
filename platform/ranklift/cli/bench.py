"""`ranklift bench rank`: load on servers that rank, and how they compare."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ranklift.cli.on_time import run_on_time
from ranklift.cli.output import bar, out, step

if TYPE_CHECKING:
    from ranklift.rankers.bench.addresses import Address
    from ranklift.rankers.bench.flops import Peak, Shape
    from ranklift.rankers.bench.outcomes import Window
    from ranklift.rankers.bench.questions import Question
    from ranklift.rankers.bench.rounds import Plan

app = typer.Typer(no_args_is_help=True, help="Measure servers, ranklift's and others.")

MAX_OTHERS = 4
COMPARED_ROUNDS = 3


class BenchFormat(StrEnum):
    """How the result is written."""

    TABLE = "table"
    JSON = "json"


@app.command()
def rank(
    address: Annotated[
        str, typer.Argument(help="grpc://HOST:PORT or http://HOST:PORT/rerank; #MODEL after it.")
    ] = "grpc://127.0.0.1:7401",
    vs: Annotated[
        list[str] | None, typer.Option(help="Another server, in alternation; repeat for several.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second, sent whatever the answers do.")
    ] = None,
    even: Annotated[
        bool, typer.Option("--even", help="Evenly spaced instead of Poisson arrivals.")
    ] = False,
    clients: Annotated[
        int | None, typer.Option(help="So many clients that wait for each answer. Default: 8.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Of load, per server and round.")] = 10.0,
    rounds: Annotated[
        int | None, typer.Option(help="Turns of every server. Default: 1, with --vs 3.")
    ] = None,
    warm_up: Annotated[float, typer.Option(help="Seconds before them that do not count.")] = 1.0,
    deadline_ms: Annotated[
        float | None, typer.Option(help="Deadline of a request, from when it is due.")
    ] = None,
    collection: Annotated[
        Path | None, typer.Option(help="Ask the queries of a collection in BEIR layout.")
    ] = None,
    depth: Annotated[int, typer.Option(help="Its documents per query, BM25's best.")] = 50,
    requests: Annotated[
        Path | None, typer.Option(help="Ask recorded requests: JSON lines of query, documents.")
    ] = None,
    documents: Annotated[
        str, typer.Option(help="Of made-up requests: how many documents, LOW-HIGH.")
    ] = "10-50",
    artefact: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a served encoder: tells the share of the machine's peak."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of arrivals and made-up requests.")] = 0,
    style: Annotated[BenchFormat, typer.Option("--format", help="How to write it.")] = (
        BenchFormat.TABLE
    ),
) -> None:
    """Put load on a server that ranks: latency from when a request was due, and throughput.

    Without --collection or --requests it makes up 1,000 requests of 10 to 50 documents, pairs of
    73 BERT tokens on average. It stops by itself. docs/serving-bench.md says how to read it.

    Example: `ranklift bench rank grpc://127.0.0.1:7401 --vs http://127.0.0.1:7997/rerank`
    """
    from ranklift.cli.bench_output import to_table
    from ranklift.rankers.bench.addresses import parse_address
    from ranklift.rankers.bench.report import as_json, report_of
    from ranklift.rankers.bench.rounds import Plan
    from ranklift.v1.errors import InvalidRequest

    addresses = [parse_address(each) for each in (address, *(vs or ()))]
    if len({str(each) for each in addresses}) < len(addresses):
        raise InvalidRequest.of("vs", "names a server twice; its rounds alternate anyway")
    if len(addresses) > MAX_OTHERS + 1:
        raise InvalidRequest.of("vs", f"names {len(addresses) - 1} servers, at most {MAX_OTHERS}")
    plan = Plan(
        rate=rate,
        clients=8 if rate is None and clients is None else clients,
        even=even,
        seconds=seconds,
        rounds=(COMPARED_ROUNDS if vs else 1) if rounds is None else rounds,
        warm_up=warm_up,
        deadline_seconds=None if deadline_ms is None else deadline_ms / 1_000,
        seed=seed,
    )
    plan.check(len(addresses))
    shapes = _shapes(artefact or ())
    questions, described = _questions(collection, depth, requests, documents, seed)
    windows, peak, client_seconds = _measured(addresses, questions, plan, peak=bool(shapes))
    report = report_of(
        plan, described, windows, client_seconds=client_seconds, shapes=shapes, peak=peak
    )
    if style is BenchFormat.JSON:
        typer.echo(json.dumps(as_json(report), indent=2, allow_nan=False))
    else:
        out.print(to_table(report))


def _measured(
    addresses: Sequence[Address], questions: Sequence[Question], plan: Plan, *, peak: bool
) -> tuple[dict[str, list[Window]], Peak | None, float]:
    """Return the windows of every server, the machine's peak if asked for, and our own seconds.

    Raises:
        Unreachable: a server does not answer; no load was put on any.
    """
    from ranklift.cli.protection import credentials_of
    from ranklift.rankers.bench.endpoints import connect
    from ranklift.settings import load_settings

    credentials = credentials_of(load_settings())

    async def run() -> tuple[dict[str, list[Window]], Peak | None, float]:
        from ranklift.rankers.bench.rounds import alternate

        async with AsyncExitStack() as stack:
            endpoints = {
                str(each): await connect(stack, each, questions, credentials) for each in addresses
            }
            # The machine is idle now: the servers are up and nobody asks.
            found = _peak() if peak else None
            progress = stack.enter_context(bar("windows of load"))
            started = time.process_time()
            windows = await alternate(endpoints, plan, progress.update)
            return windows, found, time.process_time() - started

    return run_on_time(run())


def _peak() -> Peak:
    from ranklift.rankers.bench.peak import measure_peak

    step("measuring what the machine's matrix multiplication reaches")
    return measure_peak()


def _shapes(folders: Sequence[Path]) -> dict[str, Shape]:
    from ranklift.rankers.artefacts import digest_of
    from ranklift.rankers.bench.flops import read_shape

    return {digest_of(folder): read_shape(folder) for folder in folders}


def _questions(
    collection: Path | None, depth: int, requests: Path | None, documents: str, seed: int
) -> tuple[list[Question], str]:
    """Return what is asked, and a line that says what it is.

    Raises:
        RequestError: two sources are named, or the one that is cannot be read.
    """
    import numpy as np

    from ranklift.rankers.bench.questions import (
        MAX_DOCUMENTS,
        Question,
        generated,
        read_questions,
    )
    from ranklift.v1.errors import InvalidRequest

    if collection is not None and requests is not None:
        raise InvalidRequest.of("requests", "cannot be asked together with a collection")
    if requests is not None:
        found = read_questions(requests)
        return found, f"{len(found):,} requests of {requests.name}"
    if collection is not None:
        from ranklift.cli.collections import judged_ground

        if not 1 <= depth <= MAX_DOCUMENTS:
            raise InvalidRequest.of("depth", f"is {depth}, must be 1 to {MAX_DOCUMENTS:,}")
        ground = judged_ground(collection, depth)
        lists = ground.lists(ground.collection.queries)
        found = [Question(each.query, each.documents) for each in lists]
        if not found:
            raise InvalidRequest.of("collection", f'no query of "{collection}" finds a document')
        return found, f"{len(found):,} queries of {collection.name}, up to {depth} documents each"
    low, dash, high = documents.partition("-")
    if not (low.isdecimal() and (high if dash else low).isdecimal()):
        raise InvalidRequest.of("documents", f'"{documents}" is not LOW-HIGH, e.g. 10-50')
    fewest, most = int(low), int(high if dash else low)
    if not 1 <= fewest <= most <= MAX_DOCUMENTS:
        raise InvalidRequest.of(
            "documents", f'"{documents}" must rise from at least 1 to at most {MAX_DOCUMENTS:,}'
        )
    found = generated((fewest, most), rng=np.random.default_rng(seed))
    return found, f"{len(found):,} made-up requests of {fewest} to {most} documents"
