"""Whether two experiments want the same thing of one page: pure.

Experiments of one layer share no unit. Those of different layers meet on a page by chance, unless
their conditions or their prerequisites exclude each other.
"""

from __future__ import annotations

from ranklift.store.values import Condition, Experiment

# The values of an attribute that meet some conditions: all of the first, or any at all when it
# is None, without the second.
_Allowed = tuple[frozenset[str] | None, frozenset[str]]


def conflict(one: Experiment, other: Experiment) -> str:
    """Return why `one` cannot run beside `other`, "" when it can."""
    if one.layer == other.layer:
        if one.unit is other.unit:
            return ""
        return (
            f'"{other.name}" randomises {other.unit}s in layer "{other.layer}", and a layer has '
            f"one kind of unit; choose another layer or randomise {other.unit}s"
        )
    if not _meet(one, other):
        return ""
    if one.ranks and other.ranks:
        return _both(other, "decides the ranker of the same pages")
    if _explores(one) and _explores(other):
        return _both(other, "explores the same pages")
    return ""


def unmeetable(conditions: tuple[Condition, ...]) -> tuple[str, ...]:
    """Return the attributes of which no value meets all conditions."""
    attributes = dict.fromkeys(condition.attribute for condition in conditions)
    return tuple(name for name in attributes if _empty(_allowed(conditions, name)))


def _both(other: Experiment, what: str) -> str:
    return (
        f'"{other.name}" of layer "{other.layer}" {what}; choose layer "{other.layer}", give both '
        "conditions or prerequisites that exclude each other, or conclude it first"
    )


def _explores(experiment: Experiment) -> bool:
    return any(arm.exploration is not None for arm in experiment.arms)


def _meet(one: Experiment, other: Experiment) -> bool:
    if unmeetable(one.conditions + other.conditions):
        return False
    return not any(
        first.experiment == second.experiment and not set(first.arms) & set(second.arms)
        for first in one.prerequisites
        for second in other.prerequisites
    )


def _allowed(conditions: tuple[Condition, ...], attribute: str) -> _Allowed:
    wanted: frozenset[str] | None = None
    unwanted: frozenset[str] = frozenset()
    for condition in conditions:
        if condition.attribute != attribute:
            continue
        values = frozenset(condition.values)
        if condition.negated:
            unwanted |= values
        else:
            wanted = values if wanted is None else wanted & values
    return wanted, unwanted


def _empty(allowed: _Allowed) -> bool:
    wanted, unwanted = allowed
    return wanted is not None and wanted <= unwanted
