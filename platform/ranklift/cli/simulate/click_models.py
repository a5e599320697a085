"""The click models by name, each fitted with a little shrinkage: most pairs are rare."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ranklift.clicks import dctr, pbm, ubm
from ranklift.clicks.em import BetaPrior
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Fitted
from ranklift.v1.errors import InvalidRequest

# One result in ten is clicked, or so: worth ten impressions of a pair.
PRIOR = BetaPrior(1.0, 9.0)
FITS: Mapping[str, Callable[[ClickLog], Fitted]] = {
    "dctr": lambda log: dctr.fit(log, prior=PRIOR),
    "pbm": lambda log: pbm.fit(log, prior=PRIOR),
    "ubm": lambda log: ubm.fit(log, prior=PRIOR),
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
