"""Keeps the valid tokens in step with the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from ranklift.store.tokens import Tokens
from ranklift.v1.errors import NotReady
from ranklift.v1.tokens import Token

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 1.0


class TokenPoller:
    """Reads the tokens about once a second, in a thread; a call looks at `current()`.

    A revocation is known within two seconds. While the registry is down, those
    that were valid when it was last read stay valid, and nobody else gets in.
    """

    def __init__(self, tokens: Tokens, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._tokens = tokens
        self._interval_seconds = interval_seconds
        self._current: Mapping[str, Token] = {}
        self._failing = False
        self._polling: asyncio.Task[None] | None = None

    def current(self) -> Mapping[str, Token]:
        """Return the tokens by id, as last read."""
        return self._current

    async def start(self) -> None:
        """Read for the first time, then keep reading until `close`.

        Raises:
            NotReady: there is no token: nobody could call.
        """
        self._current = await asyncio.to_thread(self._tokens.valid)
        if not self._current:
            raise NotReady.of(
                "security.tokens",
                "tokens are required and there are none; make one with "
                '"ranklift token create NAME --role admin"',
            )
        self._polling = asyncio.create_task(self._poll())

    async def refresh(self) -> None:
        """Read now. A failure is logged and leaves the tokens as they are."""
        try:
            self._current = await asyncio.to_thread(self._tokens.valid)
        except Exception:
            if not self._failing:
                log.exception("tokens_unreadable", accepting="the tokens as last read")
            self._failing = True
        else:
            if self._failing:
                log.info("tokens_readable_again")
            self._failing = False

    async def close(self) -> None:
        """Stop reading."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
            self._polling = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.refresh()
