"""Losses by name, for those who choose one in a file or a flag."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from torch import Tensor

from ranklift.rankers.losses.adr_mse import adr_mse
from ranklift.rankers.losses.hinge import margin_ranking
from ranklift.rankers.losses.hybrid import hybrid
from ranklift.rankers.losses.infonce import infonce
from ranklift.rankers.losses.lambdaloss import lambdaloss
from ranklift.rankers.losses.listmle import listmle
from ranklift.rankers.losses.listnet import listnet
from ranklift.rankers.losses.margin_mse import margin_mse
from ranklift.rankers.losses.point_mse import point_mse
from ranklift.rankers.losses.positive_margin_mse import positive_margin_mse
from ranklift.rankers.losses.ranknet import ranknet
from ranklift.v1.errors import InvalidRequest, Violation, refuse_if_any

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that a setting may be: finite, from `low` (itself left out if open) to `high`."""

    low: float
    high: float = math.inf
    open_below: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_below else value >= self.low
        return above and value <= self.high and math.isfinite(value)

    def __str__(self) -> str:
        if self.high < math.inf:
            return f"in [{self.low:g}, {self.high:g}]"
        return f"{'above' if self.open_below else 'at least'} {self.low:g} and finite"


@dataclass(frozen=True, slots=True)
class Choice:
    """A loss with the settings that it takes; their defaults are those of the function."""

    function: Callable[..., Tensor]
    settings: Mapping[str, Range] = field(default_factory=dict)


TEMPERATURE = {"temperature": Range(0, open_below=True)}

LOSSES: Mapping[str, Choice] = {
    "hybrid": Choice(hybrid, {"alpha": Range(0, 1)}),
    "point_mse": Choice(point_mse),
    "margin_mse": Choice(margin_mse),
    "positive_margin_mse": Choice(positive_margin_mse),
    "hinge": Choice(margin_ranking, {"tau": Range(0, open_below=True)}),
    "ranknet": Choice(ranknet),
    "listnet": Choice(listnet, TEMPERATURE),
    "listmle": Choice(listmle),
    "adr_mse": Choice(adr_mse, TEMPERATURE),
    "lambdaloss": Choice(lambdaloss, {"mu": Range(0)}),
    "infonce": Choice(infonce, TEMPERATURE),
}


def distillation_loss(name: str, **settings: float) -> Loss:
    """Return the loss called `name`; settings that are not given keep their defaults.

    Raises:
        InvalidRequest: there is no such loss, it has no such setting, or a
            setting is out of its range.
    """
    if name not in LOSSES:
        raise InvalidRequest.of("loss", f'"{name}" must be one of {", ".join(LOSSES)}')
    known = LOSSES[name].settings
    refuse_if_any(_wrong(name, known, settings))
    return partial(LOSSES[name].function, **settings)


def _wrong(name: str, known: Mapping[str, Range], settings: Mapping[str, float]) -> list[Violation]:
    takes = f"takes {', '.join(known)}" if known else "takes no settings"
    return [
        Violation(setting, f'{value} must be {known[setting]} for the loss "{name}"')
        if setting in known
        else Violation(setting, f'is no setting of the loss "{name}", which {takes}')
        for setting, value in settings.items()
        if setting not in known or value not in known[setting]
    ]
