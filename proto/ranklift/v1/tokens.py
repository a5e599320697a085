"""Bearer tokens: made, hashed, and found again.

A token is "rl_<id>_<secret>". The id is no secret and names the one hash that a
given token is compared with; the secret has 256 random bits, so a slow hash would
protect nothing: nobody guesses it, and no list of passwords holds it. SHA-256 then
costs a call a microsecond instead of a tenth of a second.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ranklift.v1.access import Role
from ranklift.v1.rate import Rate

PREFIX = "rl"
_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class Token:
    """What a server knows of a token: never the secret, only `digest`, the SHA-256 of all of it."""

    token_id: str
    name: str
    digest: bytes
    roles: frozenset[Role]
    expires: datetime | None = None
    rate: Rate | None = None

    def may(self, role: Role) -> bool:
        return role in self.roles or Role.ADMIN in self.roles


def new_secret() -> tuple[str, str, bytes]:
    """Return a new token's id, the token, and its digest."""
    token_id = secrets.token_hex(8)
    text = f"{PREFIX}_{token_id}_{secrets.token_urlsafe(32)}"
    return token_id, text, digest_of(text)


def digest_of(text: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def find(text: str, tokens: Mapping[str, Token], now: datetime) -> Token | None:
    """Return the token that `text` is, among `tokens` by id; None when unknown or expired.

    The comparison takes the same time wherever the texts differ, and an unknown id is compared too.
    """
    parts = text.split("_", 2)
    token = tokens.get(parts[1]) if len(parts) == 3 and parts[0] == PREFIX else None
    same = hmac.compare_digest(digest_of(text), token.digest if token else _NOBODY)
    if token is None or not same or (token.expires is not None and token.expires <= now):
        return None
    return token
