"""Servers on real sockets, asked by the endpoints that `ranklift bench rank` uses."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.rankers.bench.rest_server import rest_server

from ranklift.rankers.artefacts import digest_of
from ranklift.rankers.base import Text
from ranklift.rankers.bench.addresses import Address, parse_address
from ranklift.rankers.bench.endpoints import connect
from ranklift.rankers.bench.grpc_endpoint import grpc_endpoint
from ranklift.rankers.bench.outcomes import summarize
from ranklift.rankers.bench.questions import Question
from ranklift.rankers.bench.rest_endpoint import TIMED_OUT, Form, rest_endpoint
from ranklift.rankers.bench.rounds import Plan, alternate, ratios
from ranklift.rankers.loaded import VersionToLoad
from ranklift.rankers.server import serve_ranker
from ranklift.rankers.serving.options import ServingOptions
from ranklift.v1.errors import InvalidRequest, Unreachable
from ranklift.v1.requests import RankLimits

QUESTIONS = [
    Question("cbaba ababo", tuple(Text(f"d{i}", "", "cbaba " * (i + 1)) for i in range(size)))
    for size in (3, 1, 2)
]
TOO_MANY = Question("cbaba", tuple(Text(f"d{i}", "", "ababo") for i in range(4)))
SHORT = Plan(clients=2, seconds=0.2, rounds=2, warm_up=0.0)


def test_a_ranker_and_a_rest_server_in_turns(artefacts: dict[str, Path]) -> None:
    async def story() -> None:
        hosted = await serve_ranker("127.0.0.1:0", [VersionToLoad("m", "1", artefacts["encoder"])])
        try:
            with rest_server("cohere") as rest:
                addresses = [parse_address(hosted.address), parse_address(f"{rest.url}#some-model")]
                async with AsyncExitStack() as stack:
                    endpoints = {str(a): await connect(stack, a, QUESTIONS) for a in addresses}
                    windows = await alternate(endpoints, SHORT)
        finally:
            await hosted.stop(0)
        ours, theirs = ([summarize(each) for each in ws] for ws in windows.values())
        assert [len(ours), len(theirs)] == [2, 2]
        for summary in (*ours, *theirs):
            assert summary.refused == {}
            assert summary.answered == summary.requests > 0
        for summary in ours:
            assert summary.numerics == ("fp32",)
            assert summary.tokens_per_second is not None
        for summary in theirs:
            assert summary.numerics == ()
            assert summary.tokens_per_second is None
        digest = digest_of(artefacts["encoder"])
        first, _ = windows.values()
        assert {o.reply.digest for o in first[0].outcomes} == {digest}
        assert set(ratios(ours, theirs)) == {"pairs_per_second", "p50", "p99"}
        assert rest.bodies[0] == {
            "model": "some-model",
            "query": "cbaba ababo",
            "documents": [each.body for each in QUESTIONS[0].documents],
        }
        asked = [len(body["documents"]) for body in rest.bodies[1:]]
        assert set(asked) == {1, 2, 3}, "all the questions, in turns"

    asyncio.run(story())


def test_refusals_of_a_ranker_are_counted_by_status(artefacts: dict[str, Path]) -> None:
    async def story() -> None:
        hosted = await serve_ranker(
            "127.0.0.1:0",
            [VersionToLoad("m", "1", artefacts["bm25"])],
            ServingOptions(limits=RankLimits(max_documents=3)),
        )
        try:
            async with AsyncExitStack() as stack:
                address = parse_address(f"{hosted.address}#m@1")
                endpoint = await connect(stack, address, [*QUESTIONS, TOO_MANY])
                plan = Plan(rate=40, even=True, seconds=0.5, warm_up=0.0)
                windows = await alternate({"m": endpoint}, plan)
        finally:
            await hosted.stop(0)
        # 20 requests, every fourth of which has four documents.
        summary = summarize(windows["m"][0])
        assert summary.requests == 20
        assert summary.answered == 15
        assert summary.refused == {"INVALID_ARGUMENT": 5}

    asyncio.run(story())


@pytest.mark.parametrize("form", ["cohere", "tei"])
def test_both_forms_of_rest_are_found_out_and_refusals_counted(form: str) -> None:
    async def story() -> None:
        with rest_server(form, refuse_every=4) as rest:
            async with AsyncExitStack() as stack:
                endpoint = await connect(stack, parse_address(rest.url), QUESTIONS)
                plan = Plan(rate=40, even=True, seconds=0.5, warm_up=0.0)
                windows = await alternate({"rest": endpoint}, plan)
        summary = summarize(windows["rest"][0])
        assert summary.requests == 20
        assert summary.refused == {"HTTP 429": 5}

    asyncio.run(story())


def test_an_answer_without_all_documents_is_no_answer() -> None:
    async def story() -> None:
        with rest_server("cohere", forget=True) as rest:
            async with AsyncExitStack() as stack:
                await connect(stack, parse_address(rest.url), QUESTIONS)

    with pytest.raises(Unreachable, match="does not rank: INCOMPLETE not one result for every"):
        asyncio.run(story())


def unused() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("address", ["grpc://127.0.0.1:{}", "http://127.0.0.1:{}/rerank"])
def test_nobody_there_is_said_before_any_load(address: str) -> None:
    named = address.format(unused())

    async def story() -> None:
        async with AsyncExitStack() as stack:
            await connect(stack, parse_address(named), QUESTIONS)

    with pytest.raises(Unreachable) as caught:
        asyncio.run(story())
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_path_is_said_with_the_server_s_words() -> None:
    async def story() -> None:
        with rest_server("cohere") as rest:
            async with AsyncExitStack() as stack:
                await connect(stack, parse_address(f"{rest.url}/nope"), QUESTIONS)

    with pytest.raises(Unreachable, match=r"HTTP 404.*Not Found"):
        asyncio.run(story())


def test_no_answer_in_time_is_a_timeout() -> None:
    async def story(port: int) -> None:
        rest = parse_address(f"http://127.0.0.1:{port}/rerank")
        async with rest_endpoint(rest, Form.COHERE, QUESTIONS) as silent:
            assert (await silent.ask(0, 0.05)).status == TIMED_OUT
        async with grpc_endpoint(parse_address(f"127.0.0.1:{port}"), QUESTIONS) as silent:
            assert (await silent.ask(0, 0.05)).status == "DEADLINE_EXCEEDED"

    # The system takes the connections and nobody says a word.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asyncio.run(story(listening.getsockname()[1]))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7401", Address("grpc", "127.0.0.1", 7401, "", "")),
        ("grpc://[::1]:7401#m@2", Address("grpc", "::1", 7401, "", "m@2")),
        ("http://localhost/rerank?a=1", Address("http", "localhost", 80, "/rerank?a=1", "")),
        ("https://host.test:1/v1/rerank#m", Address("https", "host.test", 1, "/v1/rerank", "m")),
    ],
)
def test_an_address_says_where_and_how(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "localhost", "ftp://h:1/", "grpc://h:1/path", "grpc://h:99999", "http://", "h:x"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"grpc://127.0.0.1:7401|after a #"):
        parse_address(text)
