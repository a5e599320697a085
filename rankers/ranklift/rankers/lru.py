"""A bounded memory of what was computed: what has not been used for longest leaves first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What a cache did since it was made, and what it holds now.

    `hits` and `misses` count look-ups; `held` is the weight of the `entries`
    present, in the unit of the cache's capacity.
    """

    hits: int = 0
    misses: int = 0
    held: int = 0
    entries: int = 0

    @property
    def hit_rate(self) -> float:
        """Hits over look-ups, in [0, 1]; 0 before the first one."""
        return self.hits / max(1, self.hits + self.misses)

    def __add__(self, other: CacheUse) -> CacheUse:
        return CacheUse(
            self.hits + other.hits,
            self.misses + other.misses,
            self.held + other.held,
            self.entries + other.entries,
        )


class Lru(Generic[K, V]):
    """Keeps values of a total weight of at most `capacity`. Any thread may use it."""

    def __init__(self, capacity: int, weight: Callable[[V], int]) -> None:
        self._capacity = capacity
        self._weight = weight
        self._values: OrderedDict[K, V] = OrderedDict()
        self._held = self._hits = self._misses = 0
        self._lock = Lock()

    def find(self, keys: Sequence[K]) -> list[V | None]:
        """Return the value of each key, None where there is none."""
        with self._lock:
            found = [self._values.get(key) for key in keys]
            for key, value in zip(keys, found, strict=True):
                if value is not None:
                    self._values.move_to_end(key)
            misses = sum(value is None for value in found)
            self._misses += misses
            self._hits += len(found) - misses
            return found

    def keep(self, values: Iterable[tuple[K, V]]) -> None:
        """Keep values; one that is heavier than the capacity is let go at once."""
        with self._lock:
            for key, value in values:
                if key in self._values:
                    self._held -= self._weight(self._values.pop(key))
                self._values[key] = value
                self._held += self._weight(value)
            while self._held > self._capacity:
                _, oldest = self._values.popitem(last=False)
                self._held -= self._weight(oldest)

    @property
    def use(self) -> CacheUse:
        """What happened so far."""
        with self._lock:
            return CacheUse(self._hits, self._misses, self._held, len(self._values))
