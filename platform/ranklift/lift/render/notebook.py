"""The report in a notebook."""

from __future__ import annotations

from ranklift.lift.render.as_html import html
from ranklift.lift.values import LiftReport


def html_fragment(report: LiftReport) -> str:
    """Return the report as one HTML element with styles of its own, for `_repr_html_`.

    It takes the colours of the notebook around it, light or dark, and touches nothing outside.
    """
    return html(report, whole_page=False)
