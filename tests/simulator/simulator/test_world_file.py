"""Worlds as folders: the same clicks after a reload, and a damaged file is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ranklift.clicks.cascade import Cascade
from ranklift.clicks.ccm import Ccm
from ranklift.clicks.dbn import Dbn
from ranklift.clicks.dcm import Dcm
from ranklift.clicks.mixture import Mixture
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.sdbn import Sdbn
from ranklift.clicks.trust_bias import TrustBias
from ranklift.clicks.ubm import Ubm
from ranklift.simulator.behaviour import Behaviour
from ranklift.simulator.bots import Bots
from ranklift.simulator.censoring import Censoring
from ranklift.simulator.devices import Devices
from ranklift.simulator.drift import Drift
from ranklift.simulator.dwell import DwellShifts, Gamma, Weibull
from ranklift.simulator.season import Season
from ranklift.simulator.users import Population
from ranklift.simulator.values_file import decode, encode
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Appeal, World
from ranklift.simulator.world_file import APPEALS, KINDS, VALUES, load_world, save_world
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound, RequestError


@pytest.fixture
def rich(world: World) -> World:
    """A world with something of everything."""
    query_id = world.query_ids[0]
    near = {query_id: tuple(world.query_ids[1:3])}
    return replace(
        world,
        seed=2**64 - 1,
        population=Population(users=40, span=timedelta(days=3, microseconds=7)),
        behaviour=Behaviour(browsing=Dbn(0.7), page_size=8),
        sessions=Sessions(near=near, visits_per_month=20),
        appeals={query_id: {world.candidates[query_id][0]: Appeal(0.1 + 0.2, 1 / 3)}},
        popularity={query: 1.0 + n for n, query in enumerate(world.query_ids)},
    )


def test_a_world_is_the_same_after_a_reload(rich: World, world: World, tmp_path: Path) -> None:
    other = replace(world, behaviour=Behaviour(browsing=Ubm()))
    for n, one in enumerate((rich, other)):
        save_world(one, tmp_path / str(n))
        again = load_world(tmp_path / str(n))
        assert (again.population, again.behaviour) == (one.population, one.behaviour)
        assert (again.sessions, again.appeals) == (one.sessions, one.appeals)
        assert (again.popularity, again.seed) == (one.popularity, one.seed)
        assert again.candidates == one.candidates
        ranker = SimulatedRanker(one.candidates, "m", "1")
        before, after = simulate(one, ranker), simulate(again, ranker)
        assert before.pages.equals(after.pages)
        assert before.clicks.equals(after.clicks)
        assert before.dwells.equals(after.dwells)


def test_every_value_that_a_world_can_hold_is_known_by_name(world: World, tmp_path: Path) -> None:
    everything = replace(
        world,
        population=replace(
            world.population,
            devices=Devices(),
            season=Season(holidays=(date(2025, 1, 8),)),
            drift=Drift(),
            bots=Bots(),
        ),
        behaviour=Behaviour(
            browsing=Mixture((Pbm(), TrustBias()), (0.25, 0.75)),
            satisfied_dwell=Weibull(1.1, 103.0),
            unsatisfied_dwell=Gamma(1.2, 12.7),
            dwell_shifts=DwellShifts(),
            censoring=Censoring(),
        ),
    )
    save_world(everything, tmp_path / "world")
    again = load_world(tmp_path / "world")
    assert (again.population, again.behaviour) == (everything.population, everything.behaviour)
    for cls in (Cascade(), Ccm(0.5, 0.5, 0.5), Dcm((0.5,) * 10), Sdbn(), Ubm()):
        assert decode("browsing", json.loads(json.dumps(encode(cls))), KINDS) == cls


def test_popular_queries_are_asked_in_proportion(world: World) -> None:
    asked = dict.fromkeys(world.query_ids, 1.0) | {world.query_ids[5]: 1e9}
    pages = replace(world, popularity=asked).pages()
    assert set(pages.query.tolist()) == {5}
    with pytest.raises(InvalidRequest, match=r'popularity\["q00001"\]: 0, must be above 0'):
        replace(world, popularity={**asked, "q00001": 0})


def test_what_is_there_is_not_written_over(rich: World, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists):
        save_world(rich, tmp_path)
    assert list(tmp_path.iterdir()) == []


Damage = Callable[[Path], object]


def change(**fields: Any) -> Damage:
    def damage(folder: Path) -> None:
        values = json.loads((folder / VALUES).read_text())
        for path, value in fields.items():
            *parents, name = path.split("__")
            inner = values
            for parent in parents:
                inner = inner[parent]
            inner[name] = value
        (folder / VALUES).write_text(json.dumps(values))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / VALUES).unlink(), "no world.json"),
        (lambda folder: (folder / VALUES).write_text("{"), "world.json: is no JSON"),
        (lambda folder: (folder / "candidates.trec").unlink(), "no run of candidates"),
        (lambda folder: (folder / APPEALS).unlink(), "appeals.parquet is missing"),
        (lambda folder: (folder / APPEALS).write_bytes(b"x" * 40), "appeals.parquet: cannot be"),
        (
            lambda folder: pl.DataFrame({"query": ["q"]}).write_parquet(folder / APPEALS),
            "must have the columns",
        ),
        (change(seed="one"), "world.json: seed: is missing, or not"),
        (change(format=9), "world.json: format: 9, this is 1"),
        (change(population__kind="Crowd"), "population.kind: 'Crowd', must be one of"),
        (change(population__kind="Behaviour"), "population.users: is no field of Behaviour"),
        (change(population__people=3), "population.people: is no field of Population; it has"),
        (change(population__users="many"), "population.users: 'many', must be a number"),
        (change(population__users=0), "population.users: 0, must be at least 1"),
        (change(population__start="noon"), "population.start: 'noon'"),
        (change(behaviour__browsing__continuation=2), "must be in [0, 1]"),
        (change(behaviour__browsing__kind="Pbm"), "continuation: is no field of Pbm"),
    ],
)
def test_a_damaged_world_is_named(
    rich: World, tmp_path: Path, damage: Damage, message: str
) -> None:
    save_world(rich, tmp_path / "world")
    damage(tmp_path / "world")
    with pytest.raises(RequestError) as raised:
        load_world(tmp_path / "world")
    assert message in str(raised.value)


def test_a_field_that_is_left_out_has_its_default(rich: World, tmp_path: Path) -> None:
    save_world(rich, tmp_path / "world")
    values = json.loads((tmp_path / "world" / VALUES).read_text())
    del values["population"]["users"]
    (tmp_path / "world" / VALUES).write_text(json.dumps(values))
    assert load_world(tmp_path / "world").population.users == Population().users


def test_no_world_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is it a world"):
        load_world(tmp_path)
