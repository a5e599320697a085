"""Whether a request can be answered in time: refused at once is better than too late.

A refused caller can ask elsewhere while there is time, and a request that
cannot be answered takes no time from those that can.
"""

from __future__ import annotations

from collections.abc import Iterable

from ranklift.rankers.serving.queue import Job
from ranklift.v1.errors import InvalidRequest, Overloaded, Violation

# What a newcomer's forecast must leave: forecasts err, and the reply has a way to go.
MARGIN_SHARE = 0.1
MARGIN_SECONDS = 0.005


def check_room(jobs: Iterable[Job], new: Job, room: int) -> None:
    """Refuse a job for which the queue has no room, whatever its deadline.

    Raises:
        InvalidRequest: it is larger than the whole queue.
        Overloaded: the queue is full.
    """
    if new.room > room:
        raise InvalidRequest.of(
            "documents",
            f"the request has about {new.tokens} tokens and can never fit: the queue takes {room}; "
            "split it, or lower max_tokens_per_document",
        )
    held = sum(job.room for job in jobs)
    if held + new.room > room:
        over = held + new.room - room
        retry = max(new.cost.seconds(over), MARGIN_SECONDS)
        why = f"the queue holds {held} of {room} tokens, no room for about {new.tokens} more"
        raise _overloaded(why, retry)


def check_time(
    jobs: Iterable[Job], new: Job, *, now: float, busy: float, margin: bool = True
) -> None:
    """Refuse a job that would be late, or would make one late that is admitted already.

    `jobs` come in the order in which they are served; `busy` are the seconds
    until the batch under way ends. With `margin`, the forecast must leave some
    time.

    Raises:
        Overloaded: with the predicted time.
    """
    own = new.seconds
    ahead, behind = busy, []
    for job in jobs:
        if job.order < new.order:
            ahead += job.seconds
        else:
            behind.append(job)
    left = new.expires - now
    finish = ahead + own
    needed = finish * (1 + MARGIN_SHARE) + MARGIN_SECONDS if margin else finish
    if new.cost.best_seconds(new.tokens) > left:
        raise _late(new, f"would take {own:.2f} s by itself", left, None)
    # An idle machine turns nobody away whom it ever could have served: were the forecast wrong,
    # and everything refused, nothing would be observed that could mend it.
    if needed > left and (ahead or behind):
        raise _late(new, f"would be scored in {finish:.2f} s", left, needed - left)
    then = now + ahead
    for job in behind:
        then += job.seconds
        if then <= job.expires < then + own:
            why = f"would take {own:.2f} s, too long for a call that was admitted before"
            raise _late(new, why, left, then + own - job.expires)


def _late(new: Job, why: str, left: float, retry: float | None) -> Overloaded:
    return _overloaded(f"about {new.tokens} tokens {why}, the call leaves {left:.2f} s", retry)


def _overloaded(why: str, retry: float | None) -> Overloaded:
    if retry is None:
        return Overloaded([Violation("", f"{why}; send fewer documents or give more time")], -1.0)
    return Overloaded([Violation("", f"{why}; try again in {retry:.2f} s")], retry)
