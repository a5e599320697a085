"""Analysis plans as plain values, for the registry's JSON column and for files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter

from ranklift.store.analysis import MAX_WHOLE, AnalysisPlan, Metric
from ranklift.store.json_values import read_value
from ranklift.v1.errors import Violation, refuse_if_any


def read_plan(content: object, field: str = "analysis") -> AnalysisPlan:
    """Return the plan that a mapping of its fields by name describes.

    Raises:
        InvalidRequest: an unknown key, a value of a wrong type, or a number that the protocol
            cannot carry, by its path below `field`.
    """
    plan = read_value(TypeAdapter(AnalysisPlan), content, field)
    check_plan(plan, field)
    return plan


def check_plan(plan: AnalysisPlan, field: str) -> None:
    """Refuse numbers that the protocol has no room for, or reads as "not given".

    Raises:
        InvalidRequest: such a number, by its path below `field`.
    """
    refuse_if_any(_lost_on_the_wire(plan, field))


def read_metrics(content: object, field: str = "metrics") -> tuple[Metric, ...]:
    """Return the metrics that a list of mappings declares.

    Raises:
        InvalidRequest: an unknown key or a value of a wrong type, by its path below `field`.
    """
    return read_value(TypeAdapter(tuple[Metric, ...]), content, field)


def plan_content(plan: AnalysisPlan) -> dict[str, Any]:
    """Return the fields of a plan that differ from the defaults, as JSON's types."""
    content: dict[str, Any] = TypeAdapter(AnalysisPlan).dump_python(plan, mode="json")
    default = AnalysisPlan()
    return {
        field.name: content[field.name]
        for field in fields(plan)
        if getattr(plan, field.name) != getattr(default, field.name)
    }


def _lost_on_the_wire(plan: AnalysisPlan, field: str) -> Iterator[Violation]:
    parts = {
        f"metrics[{i}].parts_per_unit": one.parts_per_unit for i, one in enumerate(plan.metrics)
    }
    for name, number in {"alpha": plan.alpha, "power": plan.power, **parts}.items():
        if number == 0:
            yield Violation(f"{field}.{name}", "0 is not allowed, must be above 0")
    whole = {"planned_units": plan.planned_units, "bot_pages_per_day": plan.bot_pages_per_day}
    for name, number in {**whole, **parts}.items():
        if abs(number) > MAX_WHOLE:
            yield Violation(f"{field}.{name}", f"is too large, must be at most {MAX_WHOLE:,}")
