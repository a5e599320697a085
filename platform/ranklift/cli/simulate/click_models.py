"""The click models by name, as the matrix fits them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ranklift.clicks import dbn, dctr, pbm, ubm
from ranklift.clicks.em import BetaPrior
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Fitted
from ranklift.v1.errors import InvalidRequest

# As little as makes every pair known. Shrinkage pulls every lift towards 0, and the noise that it
# spares averages out in a sum over many pairs.
PRIOR = BetaPrior(0.01, 0.09)
FITS: Mapping[str, Callable[[ClickLog], Fitted]] = {
    "dctr": lambda log: dctr.fit(log, prior=PRIOR),
    "pbm": lambda log: pbm.fit(log, prior=PRIOR),
    "ubm": lambda log: ubm.fit(log, prior=PRIOR),
    "dbn": lambda log: dbn.fit(log, prior=PRIOR),
}


def fits_of(listed: str) -> dict[str, Callable[[ClickLog], Fitted]]:
    """Return the fits of the models "pbm,ubm"; of all for "".

    Raises:
        InvalidRequest: a name is unknown.
    """
    names = [name.strip() for name in listed.split(",")] if listed else list(FITS)
    for name in names:
        if name not in FITS:
            raise InvalidRequest.of(
                "models", f'"{name}" is no click model; there are {", ".join(FITS)}'
            )
    return {name: FITS[name] for name in names}
