"""A small REST rerank server on a real socket: the score of a document is its length."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Rerank(ThreadingHTTPServer):
    """Speaks one of the two forms at /rerank; of every `refuse_every`, one request gets a 429."""

    daemon_threads = True

    def __init__(self, form: str, refuse_every: int = 0, forget: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.form, self.refuse_every, self.forget = form, refuse_every, forget
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/rerank"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Rerank

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        field = {"cohere": "documents", "tei": "texts"}[self.server.form]
        if self.path != "/rerank":
            self._answer(404, {"detail": "Not Found"})
        elif field not in body:
            self._answer(422, {"detail": f"{field} is missing"})
        else:
            self.server.bodies.append(body)
            if self.server.refuse_every and len(self.server.bodies) % self.server.refuse_every == 0:
                self._answer(429, {"detail": "too many requests"})
            else:
                self._answer(200, self._ranked(body[field]))

    def _ranked(self, texts: list[str]) -> Any:
        scores = sorted(((len(text), i) for i, text in enumerate(texts)), reverse=True)
        if self.server.forget:
            scores.pop()
        if self.server.form == "tei":
            return [{"index": i, "score": score} for score, i in scores]
        return {"results": [{"index": i, "relevance_score": score} for score, i in scores]}

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def rest_server(form: str, *, refuse_every: int = 0, forget: bool = False) -> Iterator[Rerank]:
    """Run the server while the block does."""
    with Rerank(form, refuse_every, forget) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
