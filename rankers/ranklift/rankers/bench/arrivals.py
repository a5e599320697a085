"""When the requests of an open loop are due.

An open loop sends at its own times, whatever the server does, as users do: they do not wait for
each other's answers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly(rate: float, seconds: float) -> NDArray[np.float64]:
    """Return send times in seconds, the first at 0 and all before `seconds`, 1 / `rate` apart."""
    return np.arange(int(np.ceil(rate * seconds))) / rate


def poisson(rate: float, seconds: float, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the send times of a Poisson process in [0, `seconds`), `rate` a second on average.

    Given their number, such times are independent and uniform.
    """
    return np.sort(rng.uniform(0.0, seconds, rng.poisson(rate * seconds)))
