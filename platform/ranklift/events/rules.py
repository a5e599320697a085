"""The rules that an event can end in, and those of them that look at clocks and at numbers.

Each event of a call ends in exactly one rule, so the counts of a day add up to the events that
were sent: docs/events.md has the table, `admission.py` the order in which they are asked.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache


class Rule(StrEnum):
    """What became of an event, or why."""

    # recorded
    ACCEPTED = "accepted"
    CLOCK_SKEWED = "clock_skewed"  # with the server's time
    # acknowledged, and kept apart
    BOT_LIKE = "bot_like"
    QUARANTINED_CLICK = "quarantined_click"  # the dwell of one
    # acknowledged, and nothing more
    DUPLICATE = "duplicate"
    # refused
    UNKNOWN_PAGE = "unknown_page"
    UNKNOWN_CLICK = "unknown_click"
    NOT_SHOWN = "not_shown"
    MALFORMED = "malformed"
    REFUSED_WITH_OTHERS = "refused_with_others"  # good, in a call that is recorded all or none


REFUSALS = frozenset({Rule.UNKNOWN_PAGE, Rule.UNKNOWN_CLICK, Rule.NOT_SHOWN, Rule.MALFORMED})

# Clocks that nobody looks after are off by minutes; whoever is off by more knows no time at all.
CLOCK_TOLERANCE = timedelta(minutes=5)
# The longest pages have some hundred results, and hardly a person opens them all.
MAX_CLICKS_OF_PAGE = 100


@lru_cache(maxsize=64)
def earliest_click(date: str) -> datetime:
    """Return the time before which no click on a page of this date (YYYY-MM-DD, UTC) is believed.

    The journal knows of a page its date and not its time, so within its day every time is believed.
    """
    return datetime.fromisoformat(date).replace(tzinfo=UTC) - CLOCK_TOLERANCE


def latest_click(now: datetime) -> datetime:
    """Return the time after which no click is believed that came `now`."""
    return now + CLOCK_TOLERANCE
