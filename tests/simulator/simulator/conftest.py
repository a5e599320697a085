"""One small world, with the order in which its candidates stand and the ideal order."""

import numpy as np
import pytest

from ranklift.simulator.synthetic import QUICK, Synthetic, SyntheticSize, synthesize
from ranklift.simulator.users import Population
from ranklift.simulator.world import Rankings, World

SMALL = SyntheticSize(concepts=8, attributes=6, fillers=30, attributes_per_concept=4)


@pytest.fixture(scope="session")
def quick() -> Synthetic:
    return synthesize(QUICK, rng=np.random.default_rng(1))


@pytest.fixture(scope="session")
def world() -> World:
    small = synthesize(SMALL, rng=np.random.default_rng(1))
    return World("small", 1, small.collection, small.candidates, Population(users=120))


@pytest.fixture(scope="session")
def as_sent(world: World) -> Rankings:
    """The ranker that leaves the candidates as they are."""
    return world.candidates


@pytest.fixture(scope="session")
def ideal(world: World) -> Rankings:
    """The ranker that knows the grades."""
    return ideal_rankings(world)


def ideal_rankings(world: World) -> Rankings:
    grade = world.collection.grade
    return {
        query_id: sorted(document_ids, key=lambda d: -grade(query_id, d))
        for query_id, document_ids in world.candidates.items()
    }
