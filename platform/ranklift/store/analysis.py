"""How an experiment is analysed, as declared before it starts.

An experiment carries its plan, so that nobody can choose metric, horizon or margin after having
seen the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

# What the narrowest of the protocol's whole numbers holds.
MAX_WHOLE = 2**31 - 1


class Form(StrEnum):
    """How a metric is made of per-unit sums, n for the numerator and d for the denominator."""

    RATIO = "ratio"  # sum of n / sum of d: pages, not units, weigh the same
    MEAN = "mean"  # sum of n / units
    SHARE = "share"  # units with n > 0 / units
    UNIT_RATIO = "unit_ratio"  # mean over units of n / d: every unit weighs the same


class Direction(StrEnum):
    """Which way a metric should move."""

    UP = "up"
    DOWN = "down"


class ZeroRule(StrEnum):
    """What a unit whose denominator is zero does in a `UNIT_RATIO`."""

    DROP = "drop"
    ZERO = "zero"


class Horizon(StrEnum):
    """When a report may be acted on.

    FIXED: once, at the planned end. GROUP_SEQUENTIAL: at any look until the planned end.
    ALWAYS_VALID: at any look, with no end planned.
    """

    FIXED = "fixed"
    GROUP_SEQUENTIAL = "group_sequential"
    ALWAYS_VALID = "always_valid"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, declared.

    `numerator` and `denominator` name per-unit sums (ranklift.lift.measures), which are kept in
    whole parts: `parts_per_unit` parts of the numerator are one `unit` of the metric. MEAN and
    SHARE have no denominator. `cap_quantile`, in (0, 1), caps every unit's numerator (and
    denominator) at this quantile of all arms together.
    """

    # What is read from a file or a table must not hold what nobody reads.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    name: str
    title: str
    unit: str
    definition: str
    numerator: str
    denominator: str | None = None
    form: Form = Form.RATIO
    direction: Direction = Direction.UP
    cap_quantile: float | None = None
    when_zero: ZeroRule = ZeroRule.DROP
    parts_per_unit: int = 1


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A metric that must not get worse by more than `margin`, a part of control's value in (0, 1).

    With 0.01, a metric that should go up passes when its lift is shown to be above -1 %.
    """

    # What is read from a file or a table must not hold what nobody reads.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    metric: str
    margin: float


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """How an experiment is analysed.

    `secondary_metrics`: the metrics beside the primary one that the multiplicity correction spans;
    the built-in choice when empty. `metrics`: declared by this experiment, beside the built-in
    ones. `horizon`: GROUP_SEQUENTIAL when None and an end or size is planned, else ALWAYS_VALID.
    `planned_units`: exposed units over all arms at the end; 0 when not planned. `alpha` is
    two-sided, `power` and `minimal_lift` (relative) say what the size was planned for.
    `covariates`: whether pre-period behaviour reduces variance. `bot_pages_per_day`: a unit with
    more pages on one day counts in no metric; 0 keeps all.
    """

    # What is read from a file or a table must not hold what nobody reads.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    secondary_metrics: tuple[str, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    metrics: tuple[Metric, ...] = ()
    horizon: Horizon | None = None
    planned_units: int = 0
    alpha: float = 0.05
    power: float = 0.8
    minimal_lift: float = 0.0
    covariates: bool = True
    bot_pages_per_day: int = 500
