"""What follows from a look at a ramp. Pure: position, evidence and time in, one move out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ranklift.store.values import HarmAction, Ramp, RegisteredExperiment
from ranklift.traffic.ramps.evidence import Evidence
from ranklift.traffic.ramps.position import percent, position_of


@dataclass(frozen=True, slots=True)
class Advance:
    """Raise the traffic share to `share`, in ten-thousandths."""

    share: int
    why: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Leave everything as it is; `until` when at least, None where no instant is known."""

    why: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the experiment, for a person to find out why."""

    why: str


@dataclass(frozen=True, slots=True)
class RollBack:
    """Conclude the experiment: everybody gets the champion for good."""

    why: str


@dataclass(frozen=True, slots=True)
class Done:
    """Leave everything as it is: the last step has passed. What ships is not the ramp's to say."""

    why: str


Move = Advance | Hold | Pause | RollBack | Done


def decide(registered: RegisteredExperiment, ramp: Ramp, evidence: Evidence, now: datetime) -> Move:
    """Return what to do with a running experiment.

    Faults come before harm, for numbers of faulty data show nothing; a pause ends the harm too.
    Then the step must have lasted, on the clock and in the log: a log that is late or missing
    never advances a ramp. Harm is looked for on the last step and after it as well.
    """
    at = position_of(registered, ramp)
    if evidence.faults:
        return Pause(f"{at}: {'; '.join(evidence.faults)}")
    if evidence.harms:
        harm = f"{at}: {'; '.join(map(str, evidence.harms))}"
        return RollBack(harm) if ramp.on_harm is HarmAction.ROLL_BACK else Pause(harm)
    if now < at.hold_until:
        return Hold(f"{at}: holds until {_instant(at.hold_until)}", at.hold_until)
    if evidence.last_page is None:
        return Hold(f"{at}: the log has no page since {_instant(at.began)}")
    if evidence.last_page < at.hold_until:
        newest = _instant(evidence.last_page)
        return Hold(f"{at}: the log ends at {newest}, must reach {_instant(at.hold_until)}")
    if evidence.units_in_step < at.step.min_units:
        count = f"{evidence.units_in_step:,} of {at.step.min_units:,} units"
        return Hold(f"{at}: {count} exposed since {_instant(at.began)}")
    if evidence.untold:
        return Hold(f"{at}: {'; '.join(evidence.untold)}")
    passed = f"{at}: no harm is shown over {evidence.units:,} units"
    if at.next_share is None:
        return Done(f"{passed}; that was the last step, the lift report says what to do now")
    return Advance(at.next_share, f"{passed}; on to {percent(at.next_share)}")


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
