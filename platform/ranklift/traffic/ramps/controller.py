"""Looks at the ramps that run, and has the registry do what each calls for.

All state is in the registry's revisions: a controller that dies may be replaced at any point, and
two may run at once. A move names the etag that it was decided on, so that of two controllers, or a
controller and a person, one comes second, is refused, and looks again the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event, Thread
from typing import Protocol

import structlog

from ranklift.store.values import Decision, Ramp, RegisteredExperiment
from ranklift.traffic.ramps.decision import Advance, Done, Hold, Move, Pause, RollBack, decide
from ranklift.traffic.ramps.evidence import Evidence
from ranklift.traffic.ramps.position import position_of
from ranklift.v1.errors import Conflict, NotReady

ACTOR = "ramp"

log = structlog.get_logger(__name__)

Running = Callable[[], Sequence[RegisteredExperiment]]
# What the log shows of an experiment since its start, and since the instant when its step began.
Gather = Callable[[RegisteredExperiment, datetime], Evidence]


class Lifecycle(Protocol):
    """What carries an experiment on; `traffic.registry.ExperimentRegistry` does.

    All raise Conflict when `etag` is stale, and NotReady when the state does not allow it.
    """

    def ramp(
        self, name: str, traffic_share: int, *, actor: str, reason: str, etag: str = ""
    ) -> RegisteredExperiment: ...

    def pause(
        self, name: str, *, actor: str, reason: str, etag: str = ""
    ) -> RegisteredExperiment: ...

    def conclude(
        self,
        name: str,
        decision: Decision,
        *,
        arm: str = "",
        actor: str,
        reason: str,
        etag: str = "",
    ) -> RegisteredExperiment: ...


class RampController:
    """Takes one look after the other; each makes one change of an experiment at most."""

    def __init__(
        self,
        running: Running,
        registry: Lifecycle,
        gather: Gather,
        clock: Callable[[], datetime],
    ) -> None:
        self._running = running
        self._registry = registry
        self._gather = gather
        self._clock = clock

    def look(self) -> dict[str, Move]:
        """Carry out what every running ramp calls for; return that by experiment.

        An experiment that could not be looked at, or that somebody else changed meanwhile, is
        left out: the next look is at what it is then.
        """
        moves: dict[str, Move] = {}
        for registered in self._running():
            ramp, name = registered.experiment.ramp, registered.experiment.name
            if ramp is None:
                continue
            try:
                moves[name] = self._look_at(registered, ramp)
            except (Conflict, NotReady) as error:
                log.info("ramp_superseded", experiment=name, reason=str(error))
            except Exception:
                # One experiment's trouble must not leave the others unguarded.
                log.exception("ramp_look_failed", experiment=name)
        return moves

    def _look_at(self, registered: RegisteredExperiment, ramp: Ramp) -> Move:
        evidence = self._gather(registered, position_of(registered, ramp).began)
        move = decide(registered, ramp, evidence, self._clock())
        self._carry_out(registered, move)
        log.info(
            "ramp_looked",
            experiment=registered.experiment.name,
            revision=registered.revision,
            traffic_share=registered.experiment.traffic_share,
            move=type(move).__name__.lower(),
            why=move.why,
            units=evidence.units,
            units_in_step=evidence.units_in_step,
            watched=[str(one) for one in evidence.watched],
        )
        return move

    def _carry_out(self, registered: RegisteredExperiment, move: Move) -> None:
        name, etag = registered.experiment.name, registered.etag
        match move:
            case Advance(share, why):
                self._registry.ramp(name, share, actor=ACTOR, reason=why, etag=etag)
            case Pause(why):
                self._registry.pause(name, actor=ACTOR, reason=why, etag=etag)
            case RollBack(why):
                self._registry.conclude(
                    name, Decision.ROLL_BACK, actor=ACTOR, reason=why, etag=etag
                )
            case Hold() | Done():
                pass


class RampRounds:
    """Has a controller look every `seconds`, in a thread of its own."""

    def __init__(self, controller: RampController, seconds: float) -> None:
        self._controller = controller
        self._seconds = seconds
        self._closed = Event()
        self._thread = Thread(target=self._go_round, name="ramp-rounds", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop after the look under way."""
        self._closed.set()
        self._thread.join()

    def _go_round(self) -> None:
        while not self._closed.wait(self._seconds):
            try:
                self._controller.look()
            except Exception:
                # The registry may be away for a while; the next round looks again.
                log.exception("ramp_round_failed")
