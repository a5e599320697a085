"""What is wrong with the conditions, prerequisites and forced units of a definition."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ranklift.store.conflicts import unmeetable
from ranklift.traffic.checks import check_name, quoted
from ranklift.traffic.experiment_values import condition_value
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import Violation
from ranklift.v1.requests import MAX_ATTRIBUTE_CHARS

MAX_CONDITIONS = 16
MAX_VALUES = 1_000

MAX_PREREQUISITES = 4
MAX_FORCED = 1_000
MAX_UNIT_CHARS = 256


def condition_violations(definition: pb.Experiment) -> Iterator[Violation]:
    """Return everything that is wrong with the conditions."""
    conditions = definition.conditions
    if len(conditions) > MAX_CONDITIONS:
        yield Violation(
            "conditions", f"has {len(conditions)} conditions, must have at most {MAX_CONDITIONS}"
        )
    for i, condition in enumerate(conditions[:MAX_CONDITIONS]):
        field = f"conditions[{i}]"
        if not condition.attribute:
            yield Violation(f"{field}.attribute", "is empty, must name an attribute")
        yield from _too_long(f"{field}.attribute", condition.attribute, MAX_ATTRIBUTE_CHARS)
        if not 0 < len(condition.values) <= MAX_VALUES:
            yield Violation(
                f"{field}.values",
                f"has {len(condition.values)} values, must have 1 to {MAX_VALUES:,}",
            )
        for j, value in enumerate(condition.values[:MAX_VALUES]):
            yield from _too_long(f"{field}.values[{j}]", value, MAX_ATTRIBUTE_CHARS)
    if all(condition.values for condition in conditions):
        for attribute in unmeetable(tuple(condition_value(one) for one in conditions)):
            yield Violation(
                "conditions", f"no value of {quoted(attribute)} meets them all, must be possible"
            )


def prerequisite_violations(definition: pb.Experiment) -> Iterator[Violation]:
    """Return everything that is wrong with the prerequisites, whatever else is registered."""
    prerequisites = definition.prerequisites
    if len(prerequisites) > MAX_PREREQUISITES:
        yield Violation(
            "prerequisites",
            f"has {len(prerequisites)} experiments, must have at most {MAX_PREREQUISITES}",
        )
    first_of: dict[str, int] = {}
    for i, one in enumerate(prerequisites[:MAX_PREREQUISITES]):
        field = f"prerequisites[{i}]"
        yield from check_name(f"{field}.experiment", one.experiment)
        first = first_of.setdefault(one.experiment, i)
        if first != i:
            yield Violation(
                f"{field}.experiment",
                f"{quoted(one.experiment)} is that of prerequisites[{first}] too, each must come "
                "once",
            )
        if not one.arms:
            yield Violation(f"{field}.arms", "is empty, must name the arms that a unit may be in")
        for j, arm in enumerate(one.arms):
            yield from check_name(f"{field}.arms[{j}]", arm)


def forced_violations(
    forced: Collection[pb.ForcedUnit], arms: Collection[str]
) -> Iterator[Violation]:
    """Return everything that is wrong with the forced units of an experiment with these arms."""
    if len(forced) > MAX_FORCED:
        yield Violation(
            "forced_units", f"has {len(forced)} units, must have at most {MAX_FORCED:,}"
        )
        return
    first_of: dict[str, int] = {}
    for i, one in enumerate(forced):
        field = f"forced_units[{i}]"
        if not one.unit_id:
            yield Violation(f"{field}.unit_id", "is empty, must be a user id or a session id")
        yield from _too_long(f"{field}.unit_id", one.unit_id, MAX_UNIT_CHARS)
        first = first_of.setdefault(one.unit_id, i)
        if first != i:
            yield Violation(
                f"{field}.unit_id",
                f"{quoted(one.unit_id)} is that of forced_units[{first}] too, each must come once",
            )
        if one.arm not in arms:
            yield Violation(f"{field}.arm", f"{quoted(one.arm)} is no arm, must name one of them")


def _too_long(field: str, text: str, most: int) -> Iterator[Violation]:
    if len(text) > most:
        yield Violation(field, f"has {len(text)} characters, must have at most {most}")
