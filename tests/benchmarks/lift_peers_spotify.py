"""Group-sequential bounds of spotify-confidence, for the table in test_bounds.py.

Needs an interpreter that has it; ranklift does not need it:

    python -m venv build/peers/spotify
    build/peers/spotify/bin/pip install spotify-confidence==4.1.0
    build/peers/spotify/bin/python tests/benchmarks/lift_peers_spotify.py

Prints a row per case: (alpha, phi, information fractions, bounds), for spending alpha t^phi.
Cases where its own approximations cost more than 1e-4 are told of in that test.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

import numpy as np

EQUAL_5 = (0.2, 0.4, 0.6, 0.8, 1.0)
EQUAL_14 = tuple(round(look / 14, 6) for look in range(1, 15))
IRREGULAR = (0.11, 0.19, 0.42, 0.55, 0.9, 1.0)
CASES = (
    (0.05, 1.0, EQUAL_5),
    (0.05, 2.0, EQUAL_5),
    (0.05, 2.0, EQUAL_14),
    (0.05, 1.0, IRREGULAR),
    (0.05, 2.0, IRREGULAR),
)


def their_bounds(alpha: float, phi: float, fractions: Sequence[float]) -> tuple[float, ...]:
    """Return the two-sided bounds of |z|, as spotify-confidence solves for them."""
    solver = import_module("spotify_confidence.analysis.frequentist.sequential_bound_solver")
    solved = solver.bounds(t=np.array(fractions), alpha=alpha, rho=phi, ztrun=8.0, sides=2)
    return tuple(float(bound) for bound in solved.bounds)


def main() -> None:
    print(f"# spotify-confidence {version('spotify-confidence')}")
    for alpha, phi, fractions in CASES:
        bounds = tuple(round(bound, 5) for bound in their_bounds(alpha, phi, fractions))
        print(f"({alpha}, {phi}, {fractions}, {bounds}),")


if __name__ == "__main__":
    main()
