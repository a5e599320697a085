"""What difference an experiment made.

A log becomes page rows (`pages`, `flat`, `event_pages`), these become exact sums per unit
(`sums`, `days`), every metric a ratio of two of their columns (`columns`), these become moments
per arm (`moments`), and these become lifts with intervals and p-values (`ratio`, `adjust`).
Together with the data checks (`checks`), the looks over time (`timeline`, `sequential`) and the
verdict they make one value, the `LiftReport` (`report`, `values`). `analyze` does all of it for
any log; `experiment` for a registered experiment; `render` shows the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ranklift.lift.analysis import analyze as analyze

__all__ = ["analyze"]


def __getattr__(name: str) -> Any:
    # On demand: the gateway checks analysis plans and has no use for data frames.
    if name == "analyze":
        from ranklift.lift.analysis import analyze

        return analyze
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
