"""Documents that were met lately and are on disk: results repeat, and hashing takes time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ranklift.v1.requests import Texts

MAX_CHARACTERS = 16 * 1024 * 1024


class RecentDocuments:
    """The documents that were added or met last, of up to two times `max_characters`.

    In two generations: when the young one is full it becomes the old one, and what was in the old
    one is forgotten. Plain tuples, which the garbage collector leaves alone. May be used by
    several threads: to miss a document costs time and no more.
    """

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._young: set[Texts] = set()
        self._old: set[Texts] = set()
        self._characters = 0

    def others(self, documents: Iterable[Texts]) -> Sequence[Texts]:
        """Return those of `documents` that are not here."""
        others = []
        for document in documents:
            if document in self._young:
                continue
            if document in self._old:
                self.add([document])
            else:
                others.append(document)
        return others

    def add(self, documents: Iterable[Texts]) -> None:
        """Add documents that are on disk."""
        for document in documents:
            if document in self._young:
                continue
            if self._characters >= self._max_characters:
                self._young, self._old, self._characters = set(), self._young, 0
            self._young.add(document)
            self._characters += sum(map(len, document))
