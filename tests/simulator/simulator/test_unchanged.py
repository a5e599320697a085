"""A world without any of the extras is the very same world in every release."""

from dataclasses import replace
from hashlib import sha256

from ranklift.simulator.users import Population
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.visits import Sessions
from ranklift.simulator.world import Rankings, World


def digest(world: World, rankings: Rankings) -> str:
    frames = simulate(world, SimulatedRanker(rankings, "ideal", "1"))
    pages = frames.pages.select("impression_id", "page_time", "query")
    rows = pages.write_csv() + frames.clicks.write_csv() + frames.dwells.write_csv()
    return sha256(rows.encode()).hexdigest()[:16]


def test_planned_pages(world: World, ideal: Rankings) -> None:
    large = replace(world, population=Population(users=1_000))
    assert digest(large, ideal) == "8ec099b16d24a574"


def test_users_who_react(world: World, ideal: Rankings) -> None:
    large = replace(world, population=Population(users=1_000), sessions=Sessions())
    assert digest(large, ideal) == "203f91bcca0ec25e"
