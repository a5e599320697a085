"""Assigns units with growthbook's and PlanOut's SDKs; prints what a call costs, as JSON.

Run by assignment.py in an environment that has them. Arguments: the number of units.
"""

from __future__ import annotations

import collections
import collections.abc
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from growthbook import Experiment, GrowthBook
from growthbook.core import gbhash

# PlanOut is of 2020, when these still had a second name.
for name in ("Mapping", "MutableMapping", "Sequence"):
    setattr(collections, name, getattr(collections.abc, name))

from planout.experiment import SimpleExperiment  # noqa: E402
from planout.ops.random import UniformChoice  # noqa: E402


class Title(SimpleExperiment):  # type: ignore[misc]
    """Two arms of equal share."""

    def setup(self) -> None:
        self.set_auto_exposure_logging(False)

    def assign(self, params: Any, userid: str) -> None:
        params.arm = UniformChoice(choices=["control", "treatment"], unit=userid)

    def configure_logger(self) -> None:
        pass

    def log(self, data: Any) -> None:
        pass

    def previously_logged(self) -> bool:
        return True


def growthbook_evaluates(units: list[str]) -> None:
    sdk = GrowthBook(enabled=True)
    experiment = Experiment(key="title-boost", variations=["control", "treatment"], hashVersion=2)
    for unit in units:
        sdk.set_attributes({"id": unit})
        sdk.run(experiment)


def growthbook_hashes(units: list[str]) -> None:
    for unit in units:
        gbhash("title-boost", unit, 2)


def planout_evaluates(units: list[str]) -> None:
    for unit in units:
        Title(userid=unit).get("arm")


def cost(work: Callable[[list[str]], None], units: list[str]) -> float:
    """Return the nanoseconds of CPU time that a unit costs."""
    began = time.process_time()
    work(units)
    return (time.process_time() - began) / len(units) * 1e9


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    units = [f"user-{i}" for i in range(int(sys.argv[1]))]
    works = (growthbook_evaluates, growthbook_hashes, planout_evaluates)
    print(json.dumps({work.__name__: cost(work, units) for work in works}))
