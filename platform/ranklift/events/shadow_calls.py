"""Whether a shadow's scores are recorded: once for a page and a version, if the page was."""

from __future__ import annotations

from dataclasses import dataclass

from ranklift.events.known import Admitted, Known, Mentions, identity
from ranklift.events.pending import Recorded
from ranklift.events.rows import shadow_row
from ranklift.events.values import ShadowScores
from ranklift.v1.errors import NotFound


@dataclass(frozen=True)
class RecordShadow:
    """What a shadow scored, to record under the date of its page."""

    shadow: ShadowScores

    @property
    def weight(self) -> int:
        return 1

    @property
    def size(self) -> int:
        return 500 + 32 * len(self.shadow.scores)

    @property
    def _key(self) -> bytes:
        shadow = self.shadow
        return identity("shadow", f"{shadow.model}@{shadow.version}/{shadow.impression_id}")

    def mention(self, mentions: Mentions) -> None:
        """Add what must be known to judge the scores."""
        mentions.seen.add(self._key)
        mentions.shown.add(identity("page", self.shadow.impression_id))

    def admit(self, known: Known) -> Admitted:
        """Return what the scores add.

        Raises:
            NotFound: the page is not known.
            InvalidRequest: a score is not finite.
        """
        if self._key in known.seen:
            return Admitted(Known(), (), Recorded(0, duplicates=1))
        page = known.shown.get(identity("page", self.shadow.impression_id))
        if page is None:
            raise NotFound.of("impression_id", f'no page "{self.shadow.impression_id}" is recorded')
        row = shadow_row(self.shadow, page.date)
        return Admitted(Known(seen={self._key}), (row,), Recorded(1, duplicates=0))
