"""A REST rerank service. Two forms are in use:

Cohere, Jina, infinity, vLLM     {"query", "documents"}  ->  {"results": [{"index", ...}, ...]}
Text Embeddings Inference (TEI)  {"query", "texts"}      ->  [{"index", ...}, ...]
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import httpx2

from ranklift.rankers.bench.addresses import Address
from ranklift.rankers.bench.load import MAX_UNDER_WAY
from ranklift.rankers.bench.outcomes import OK, Reply
from ranklift.rankers.bench.questions import Question

TIMED_OUT = "TIMEOUT"
NOT_REACHED = "NOT_REACHED"
# Kept open between rounds: with five servers this and one's load stay below the 1,024 files that
# a select can watch.
KEPT_OPEN = 96
SHOWN_CHARS = 200


class Form(StrEnum):
    """The form of a request's body."""

    COHERE = "cohere"
    TEI = "tei"


class RestEndpoint:
    """One pool of connections that stay open; the bodies are bytes from the start."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        address: Address,
        form: Form,
        questions: Sequence[Question],
    ) -> None:
        self._client = client
        self._url = address.url
        self._bodies = [_body(each, form, address.model) for each in questions]
        self._pairs = [len(each.documents) for each in questions]
        self.complaint = ""

    def pairs(self, number: int) -> int:
        return self._pairs[number % len(self._pairs)]

    async def ask(self, number: int, timeout: float) -> Reply:
        body = self._bodies[number % len(self._bodies)]
        try:
            response = await self._client.post(
                self._url,
                content=body,
                headers={"content-type": "application/json"},
                timeout=timeout,
            )
        except httpx2.TimeoutException:
            self.complaint = f"no answer within {timeout:.3g} s"
            return Reply(TIMED_OUT)
        except httpx2.TransportError as error:
            self.complaint = str(error) or type(error).__name__
            return Reply(NOT_REACHED)
        if not response.is_success:
            self.complaint = response.text[:SHOWN_CHARS]
            return Reply(f"HTTP {response.status_code}")
        return self._read(response, self.pairs(number))

    def _read(self, response: httpx2.Response, pairs: int) -> Reply:
        try:
            content = response.json()
        except ValueError:
            content = None
        results = content.get("results") if isinstance(content, dict) else content
        if not isinstance(results, list) or {_index(each) for each in results} != set(range(pairs)):
            self.complaint = f"not one result for every document: {response.text[:SHOWN_CHARS]}"
            return Reply("INCOMPLETE")
        return Reply(OK)


def _index(result: Any) -> Any:
    return result.get("index") if isinstance(result, dict) else None


def _body(question: Question, form: Form, model: str) -> bytes:
    texts = [each.body for each in question.documents]
    named = {"model": model} if model else {}
    documents = {"texts": texts} if form is Form.TEI else {"documents": texts}
    return json.dumps({**named, "query": question.query, **documents}).encode()


@asynccontextmanager
async def rest_endpoint(
    address: Address, form: Form, questions: Sequence[Question]
) -> AsyncIterator[RestEndpoint]:
    """Yield the endpoint at `address`; nothing is sent yet. Proxies of the environment are not
    used: they would be measured too."""
    limits = httpx2.Limits(
        max_connections=MAX_UNDER_WAY, max_keepalive_connections=KEPT_OPEN, keepalive_expiry=60
    )
    async with httpx2.AsyncClient(limits=limits, trust_env=False) as client:
        yield RestEndpoint(client, address, form, questions)
