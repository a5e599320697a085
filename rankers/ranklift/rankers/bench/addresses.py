"""Where a server is and how it speaks, as one word on the command line.

    grpc://HOST:PORT          RankingService of ranklift: a ranker, or the gateway
    HOST:PORT                 the same
    http://HOST:PORT/PATH     REST rerank (Cohere, Jina, infinity, vLLM; Text Embeddings Inference)

After a `#` comes the model to ask for: `grpc://127.0.0.1:7401#student@3`.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ranklift.v1.errors import InvalidRequest

EXAMPLES = "give grpc://127.0.0.1:7401 or http://127.0.0.1:7997/rerank"


@dataclass(frozen=True, slots=True)
class Address:
    """`scheme` is "grpc", "http" or "https"; `model` is empty for the server's default."""

    scheme: str
    host: str
    port: int
    path: str
    model: str

    @property
    def target(self) -> str:
        """Host and port, as gRPC wants them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address without the model, which is no business of HTTP's."""
        return f"{self.scheme}://{self.target}{self.path}"

    def __str__(self) -> str:
        return f"{self.url}#{self.model}" if self.model else self.url


def parse_address(text: str) -> Address:
    """Return the address that `text` names.

    Raises:
        InvalidRequest: it names none.
    """
    split = urlsplit(text if "://" in text else f"grpc://{text}")
    try:
        port = split.port
    except ValueError as error:
        raise InvalidRequest.of("address", f'"{text}" has no valid port; {EXAMPLES}') from error
    if split.scheme not in ("grpc", "http", "https"):
        raise InvalidRequest.of(
            "address", f'"{text}" is neither grpc://, http:// nor https://; {EXAMPLES}'
        )
    if split.scheme != "grpc":
        port = port or (443 if split.scheme == "https" else 80)
    if not split.hostname or not port:
        raise InvalidRequest.of("address", f'"{text}" lacks a host or a port; {EXAMPLES}')
    if split.scheme == "grpc" and (split.path.strip("/") or split.query):
        raise InvalidRequest.of(
            "address", f'"{text}" has a path, which gRPC does not take; the model stands after a #'
        )
    query = f"?{split.query}" if split.query else ""
    path = "" if split.scheme == "grpc" else f"{split.path or '/'}{query}"
    return Address(split.scheme, split.hostname, port, path, split.fragment)
