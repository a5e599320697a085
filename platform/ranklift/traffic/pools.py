"""The rankers of one model version: who is asked next, who is left alone, what is tried again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import grpc
import structlog
from grpc import aio

from ranklift.store.values import ModelRef
from ranklift.traffic.breaker import Breaker, BreakerPolicy, BreakerState
from ranklift.traffic.connections import Ranker
from ranklift.traffic.retry_budget import RetryBudget, RetryPolicy
from ranklift.v1 import ranking_pb2
from ranklift.v1.metadata import EXPERIMENT
from ranklift.v1.status import PUSHBACK

log = structlog.get_logger(__name__)

# Whose caller leaves it less time than this does not fail by its own fault.
FAIR_SECONDS = 0.1
# A ranker that sees that it would be late says so at once; that is no timeout.
EARLY_SECONDS = 0.01
# However long a ranker wishes to be left alone; the load of a second ago says little.
MOST_PUSHBACK_SECONDS = 5.0

# Another ranker of the version may do better: this one is down, or unloaded it a moment ago.
ELSEWHERE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND}
_FAULTS = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,  # by a ranker that stops
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DATA_LOSS,
}


class PoolOpen(Exception):
    """Every ranker of a version failed so often that it is left alone for the moment."""

    def __init__(self, model: ModelRef) -> None:
        super().__init__(f"every ranker of {model} fails; they are tried again one call at a time")


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How a pool deals with rankers that fail."""

    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    retries: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(slots=True, eq=False)
class _Member:
    ranker: Ranker
    breaker: Breaker
    pushed_back_until: float = 0.0


class Pool:
    """Asks the rankers that have loaded one version in turn.

    The breakers are the version's own: an arm that fails opens no breaker of another version on
    the same ranker.

    `counts` is what happened since the start: "retries", "retries_denied" for want of budget, and
    "opened", how often a breaker did.
    """

    def __init__(
        self, model: ModelRef, policy: PoolPolicy, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model
        self._policy = policy
        self._clock = clock
        self._members: dict[str, _Member] = {}  # by address
        self._budget = RetryBudget(policy.retries, clock)
        self._turn = 0
        self.counts: Counter[str] = Counter(retries=0, retries_denied=0, opened=0)

    def place(self, rankers: Iterable[Ranker]) -> None:
        """Say which rankers have loaded the version; who stays keeps its breaker."""
        self._members = {
            ranker.address: self._members.get(ranker.address)
            or _Member(ranker, Breaker(self._policy.breaker, self._clock))
            for ranker in rankers
        }

    def try_now(self, address: str) -> None:
        """Let the next call probe the ranker at `address`, if its breaker is open."""
        if member := self._members.get(address):
            member.breaker.try_now()

    def breakers(self) -> dict[str, BreakerState]:
        """Return the state of each breaker by address."""
        return {address: member.breaker.state for address, member in self._members.items()}

    async def rank(
        self,
        request: ranking_pb2.RankRequest,
        timeout_seconds: float,
        experiment: str,
        *,
        last_resort: bool,
    ) -> ranking_pb2.RankResponse:
        """Rank, and pass over rankers that are unavailable or no longer have the version; no other
        failure is tried again.

        Retries are bounded by the pool's budget. With `last_resort` nobody can step in: neither
        the budget nor open breakers keep a ranker from being tried, once.

        Raises:
            PoolOpen: every breaker is open.
            grpc.aio.AioRpcError: the last ranker's status.
        """
        self._budget.call()
        ends = self._clock() + timeout_seconds
        tried: list[_Member] = []
        while True:
            picked = self._pick(tried, last_resort)
            if picked is None:
                raise PoolOpen(self._model)
            member, admitted = picked
            tried.append(member)
            try:
                return await self._ask(member, admitted, request, ends, experiment)
            except aio.AioRpcError as error:
                if error.code() not in ELSEWHERE or not self._may_retry(tried, last_resort):
                    raise

    def _may_retry(self, tried: Collection[_Member], last_resort: bool) -> bool:
        now = self._clock()
        left = [
            member
            for member in self._members.values()
            if member not in tried
            and (last_resort or (member.breaker.ready and member.pushed_back_until <= now))
        ]
        if not left:
            return False
        if self._budget.take() or last_resort:
            self.counts["retries"] += 1
            return True
        self.counts["retries_denied"] += 1
        return False

    def _pick(self, tried: Collection[_Member], last_resort: bool) -> tuple[_Member, int] | None:
        """Return who is asked next, and what its breaker gave.

        Each call begins with the next ranker; those that do not answer come last, and so do those
        that asked to be left alone.
        """
        members = list(self._members.values())
        turn = self._turn % len(members) if members else 0
        self._turn += 1
        now = self._clock()
        ordered = sorted(
            (member for member in members[turn:] + members[:turn] if member not in tried),
            key=lambda member: (member.pushed_back_until > now, not member.ranker.reachable),
        )
        for insisting in (False, True) if last_resort else (False,):
            for member in ordered:
                admitted = member.breaker.admit(last_resort=insisting)
                if admitted is not None:
                    return member, admitted
        return None

    async def _ask(
        self,
        member: _Member,
        admitted: int,
        request: ranking_pb2.RankRequest,
        ends: float,
        experiment: str,
    ) -> ranking_pb2.RankResponse:
        told = ((EXPERIMENT, experiment),) if experiment else ()
        given = max(0.0, ends - self._clock())
        well: bool | None = None  # a caller who went away says nothing of the ranker
        try:
            reply = await member.ranker.ranking.Rank(request, timeout=given, metadata=told)
            well = True
            return reply
        except aio.AioRpcError as error:
            code = error.code()
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                early = self._clock() < ends - EARLY_SECONDS
                well = early or (None if given < FAIR_SECONDS else False)
            else:
                well = code not in _FAULTS
            if code is grpc.StatusCode.UNAVAILABLE:
                member.ranker.reachable = False  # the next calls try the others first
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                member.pushed_back_until = self._clock() + pushback_seconds(error)
            raise
        finally:
            self._settle(member, admitted, well)

    def _settle(self, member: _Member, admitted: int, well: bool | None) -> None:
        before = member.breaker.state
        member.breaker.ended(admitted, well=well)
        after = member.breaker.state
        if before is BreakerState.CLOSED and after is BreakerState.OPEN:
            self.counts["opened"] += 1
            log.warning("breaker_opened", address=member.ranker.address, model=str(self._model))
        elif before is BreakerState.HALF_OPEN and after is BreakerState.CLOSED:
            log.info("breaker_closed", address=member.ranker.address, model=str(self._model))


def pushback_seconds(error: aio.AioRpcError) -> float:
    """Return how long a ranker that refused a call asks to be left alone, 0 when it does not say.

    A negative wish, "do not retry", is about the call and not about the ranker (gRFC A6).
    """
    for key, value in error.trailing_metadata():
        if key == PUSHBACK:
            try:
                return min(max(0.0, int(value) / 1_000), MOST_PUSHBACK_SECONDS)
            except ValueError:
                return 0.0
    return 0.0
