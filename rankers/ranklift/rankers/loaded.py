"""The model versions that a ranker server has loaded, and which of them answers a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ranklift.rankers.artefacts import digest_of, read_manifest
from ranklift.rankers.base import Ranker, Text
from ranklift.rankers.cascade import Cascade
from ranklift.rankers.lru import CacheUse
from ranklift.rankers.serving.cost import CostModel
from ranklift.rankers.serving.scheduler import Scheduler
from ranklift.rankers.serving.stages import Stage, read_stages
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound, NotReady, Unreachable

WARM_UP_QUERY = "warm up"
# (documents, words in each): one and many, short and, for most models, cut.
WARM_UP_SHAPES = ((1, 1), (8, 16), (2, 64), (2, 256))
Announce = Callable[[str, bool], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class VersionToLoad:
    """A model version to serve; `digest` is not checked when empty."""

    model: str
    version: str
    folder: Path
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.model}@{self.version}"


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class Loaded:
    """A version in memory, its stages, and the number of calls under way."""

    model: str
    version: str
    digest: str
    ranker: Ranker[Any] | Cascade
    stages: tuple[Stage, ...]
    calls: int = 0
    idle: asyncio.Event = field(default_factory=_set_event)

    @property
    def name(self) -> str:
        return f"{self.model}@{self.version}"

    @property
    def token_cache_use(self) -> CacheUse:
        """How the token caches of its neural stages were used."""
        used = (
            stage.ranker.token_cache_use
            for stage in self.stages
            if isinstance(stage.ranker, _CachesTokens)
        )
        return sum(used, start=CacheUse())


@runtime_checkable
class _CachesTokens(Protocol):
    @property
    def token_cache_use(self) -> CacheUse: ...


class LoadedVersions:
    """The table of loaded versions. It belongs to one event loop.

    The model of the first version loaded is the default. The version loaded
    last serves under its model's bare name. `announce` is told "model@version"
    and whether it serves from now on: not before it is warm. `scheduler` warms
    versions up, between the batches of those that serve. `token_cache_tokens` is
    each neural stage's.
    """

    def __init__(
        self, announce: Announce, scheduler: Scheduler, *, token_cache_tokens: int = 0
    ) -> None:
        self._announce = announce
        self._scheduler = scheduler
        self._token_cache_tokens = token_cache_tokens
        self._loaded: dict[tuple[str, str], Loaded] = {}
        self._default_model = ""
        self._warming: set[tuple[str, str]] = set()
        self._changing = asyncio.Lock()

    def all(self) -> list[Loaded]:
        """Return what is loaded, by model and version."""
        return sorted(self._loaded.values(), key=lambda each: (each.model, each.version))

    def add(self, loaded: Loaded) -> None:
        """Let a version serve that is ready."""
        self._loaded[loaded.model, loaded.version] = loaded
        self._default_model = self._default_model or loaded.model

    def select(self, model: str, version: str) -> Loaded:
        """Return the version that answers for `model` and `version`, either of which may be "".

        Raises:
            InvalidRequest: a version without a model.
            NotFound: it is not loaded.
            Unreachable: it is being loaded, or nothing is loaded.
        """
        if version and not model:
            raise InvalidRequest.of("model.name", "is empty although a version is given; name it")
        if not self._loaded:
            raise Unreachable.of("", "no model version is loaded yet; try again in a moment")
        wanted = model or self._default_model
        # Insertion order is loading order: the last one is the newest.
        versions = [each for each in self._loaded.values() if each.model == wanted]
        if any(key[0] == wanted for key in self._warming) and (
            (wanted, version) in self._warming or not versions
        ):
            raise Unreachable.of("model", f"{wanted} is being loaded; try again in a moment")
        if not versions:
            known = ", ".join(sorted({each.model for each in self._loaded.values()}))
            raise NotFound.of("model.name", f'"{wanted[:80]}" is not loaded; loaded are: {known}')
        if not version:
            return versions[-1]
        found = self._loaded.get((wanted, version))
        if found is None:
            known = ", ".join(each.version for each in versions)
            raise NotFound.of(
                "model.version", f'"{version[:80]}" of {wanted} is not loaded; loaded are: {known}'
            )
        return found

    @asynccontextmanager
    async def using(self, model: str, version: str) -> AsyncIterator[Loaded]:
        """Select a version and keep it from being unloaded meanwhile."""
        found = self.select(model, version)
        found.calls += 1
        found.idle.clear()
        try:
            yield found
        finally:
            found.calls -= 1
            if not found.calls:
                found.idle.set()

    async def load(self, wanted: VersionToLoad) -> Loaded:
        """Load and warm a version beside the running ones, then let it serve. Idempotent.

        Raises:
            NotFound, InvalidRequest: there is no artefact, or it is no ranker.
            NotReady: its digest is not the wanted one.
            AlreadyExists: other content serves under this name and version.
        """
        key = (wanted.model, wanted.version)
        self._warming |= {key} - self._loaded.keys()
        try:
            async with self._changing:
                return await self._load(wanted)
        finally:
            self._warming.discard(key)

    async def load_all(self, wanted: Sequence[VersionToLoad]) -> None:
        """Load versions one after the other; until each is there, it counts as being loaded."""
        self._warming |= {(each.model, each.version) for each in wanted}
        for each in wanted:
            await self.load(each)

    async def _load(self, wanted: VersionToLoad) -> Loaded:
        key = (wanted.model, wanted.version)
        present = self._loaded.get(key)
        # Hashing and loading take their time: other calls go on meanwhile.
        digest = await asyncio.to_thread(_checked_digest, wanted)
        if present is not None:
            if present.digest != digest:
                raise AlreadyExists.of(
                    "version", f"{present.name} is loaded with {present.digest}; unload it first"
                )
            return present
        await self._announce(wanted.name, False)
        ranker, stages = await asyncio.to_thread(
            read_stages, wanted.folder, token_cache_tokens=self._token_cache_tokens
        )
        loaded = Loaded(wanted.model, wanted.version, digest, ranker, stages)
        for stage in stages:
            await self._warm_up(stage)
        self.add(loaded)
        await self._announce(loaded.name, True)
        return loaded

    async def _warm_up(self, stage: Stage) -> None:
        # The first time, a shape pays for what is set up once; that is no forecast.
        for cost in (CostModel(), stage.cost):
            for documents, words in WARM_UP_SHAPES:
                texts = [Text(str(i), "", " ".join(["word"] * words)) for i in range(documents)]
                encoded = await asyncio.to_thread(stage.ranker.encode, WARM_UP_QUERY, texts)
                await self._scheduler.warm(stage.ranker, cost, encoded.pairs)

    async def unload(self, model: str, version: str) -> None:
        """Stop serving a version, wait for the calls under way, and let it go.

        Raises:
            NotFound: it is not loaded.
        """
        async with self._changing:
            found = self._loaded.pop((model, version), None)
            if found is None:
                raise NotFound.of("version", f'"{model[:80]}@{version[:80]}" is not loaded')
            await self._announce(found.name, False)
            await found.idle.wait()


def _checked_digest(wanted: VersionToLoad) -> str:
    read_manifest(wanted.folder)  # first: a digest of any folder that a caller names takes hours
    digest = digest_of(wanted.folder)
    if wanted.digest and wanted.digest != digest:
        raise NotReady.of(
            "digest",
            f'"{wanted.folder}" has {digest}, not {wanted.digest[:80]}; the files changed after '
            "they were registered: restore them or register a new version",
        )
    return digest
