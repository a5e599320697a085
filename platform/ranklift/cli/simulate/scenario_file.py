"""A scenario in a file: what happens to an experiment, and what its report must say of it.

In TOML (JSON and YAML have the same keys):

    name = "lost-dwells"
    says = "The challenger's pages lose dwells."

    [world]
    users = 2_000

    [happens]
    kind = "lost_dwells"
    arm = "challenger"
    share = 0.3

    [expect]
    failed_checks = ["clicks_without_dwell"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import TypeAdapter

from ranklift.lift.values import Decision, Outcome
from ranklift.store.analysis import Guardrail
from ranklift.store.declaration_file import read_declaration
from ranklift.store.json_values import read_value
from ranklift.v1.errors import InvalidRequest, NotFound, Violation

FOLDER = Path(__file__).parent / "scenarios"
Kind = Literal[
    "nothing", "lost_dwells", "lost_users", "bots", "holiday", "novelty", "outage", "slow_ranker"
]
SERVED: frozenset[str] = frozenset({"outage", "slow_ranker"})
_STRICT: Mapping[str, str] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """A made-up world: users, their mean number of pages, over so many days."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = _STRICT

    users: int = 2_000
    pages_per_user: float = 4.0
    days: float = 7.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class ExperimentSettings:
    """Two equal arms, "control" and "challenger", with the same ranker; guardrails of the plan."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = _STRICT

    guardrails: tuple[Guardrail, ...] = ()
    bot_pages_per_day: int = 500


@dataclass(frozen=True, slots=True)
class Happens:
    """What happens, to an arm or, for "", to both.

    `share` of the pages or users hit; `pages` more of each bot; `begin_day`, `days`, `searches` and
    `clicks` (shares that remain) of a holiday; `log_odds` and `novelty` of an effect;
    `after` which part of the pages a ranker dies; `delay_ms` of a slow one's answers.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = _STRICT

    kind: Kind
    arm: str = ""
    share: float = 0.0
    pages: int = 0
    begin_day: float = 0.0
    days: float = 0.0
    searches: float = 1.0
    clicks: float = 1.0
    log_odds: float = 0.0
    novelty: float = 0.0
    after: float = 0.0
    delay_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Expect:
    """What the report must say; what is not given is not looked at, but for the checks.

    `failed_checks` are the ones that fail, these and no other. `lifts` bounds the relative lift of
    the challenger in a metric, `control` control's value. `first_day_above_last`: in the novelty
    course the lift of the first day is that much above the mean of the days after it.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = _STRICT

    failed_checks: tuple[str, ...] = ()
    decision: Decision | None = None
    guardrails: Mapping[str, Outcome] = field(default_factory=dict)
    lifts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    control: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    first_day_above_last: float | None = None
    fallback_share: tuple[float, float] | None = None
    failed_calls: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario; `served` ones need real servers."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = _STRICT

    name: str
    says: str
    happens: Happens
    expect: Expect
    world: WorldSettings = field(default_factory=WorldSettings)
    experiment: ExperimentSettings = field(default_factory=ExperimentSettings)

    @property
    def served(self) -> bool:
        return self.happens.kind in SERVED


_SCENARIO = TypeAdapter(Scenario)


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file.

    Raises:
        InvalidRequest: the file is malformed (its line is named), or a field is (by its path).
    """
    scenario = read_value(_SCENARIO, read_declaration(path), f"{path.name}: ")
    happens = scenario.happens
    shares = {name: getattr(happens, name) for name in ("share", "searches", "clicks", "after")}
    wrong = [
        Violation(f"{path.name}: happens.{name}", f"{value}, must be in [0, 1]")
        for name, value in shares.items()
        if not 0 <= value <= 1
    ]
    if happens.arm not in ("", "control", "challenger"):
        wrong.append(
            Violation(
                f"{path.name}: happens.arm", f'"{happens.arm}", must be control or challenger'
            )
        )
    if wrong:
        raise InvalidRequest(wrong)
    return scenario


def find_scenarios(where: str) -> list[Path]:
    """Return the files that a name of a built-in scenario, a file or a folder stand for.

    Raises:
        NotFound: there is none.
    """
    path = Path(where)
    if path.is_dir():
        found = sorted(path.glob("*.toml"))
    else:
        found = [each for each in (path, FOLDER / f"{where}.toml") if each.is_file()][:1]
    if not found:
        known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.toml")))
        raise NotFound.of(
            "scenario", f'"{where}" is no file, no folder of them and none of {known}'
        )
    return found
