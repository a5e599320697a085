"""The realism report for machines and for browsers."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from ranklift.simulator.realism import Compared, Realism

_BAR, _GAP, _HEIGHT = 14, 12, 120
_REAL, _SIMULATED = "#3b6ea5", "#d98c3f"


def as_values(found: Realism) -> dict[str, Any]:
    """Return the report as JSON has it; null where a log has no such page."""
    return {
        "compared": [
            {
                "measure": one.measure,
                "labels": list(one.labels),
                "real": [_number(value) for value in one.real],
                "simulated": [_number(value) for value in one.simulated],
                "distance": one.distance,
                "standard_error": one.error,
                "by_chance": one.by_chance,
            }
            for one in found.compared
        ],
        "missing": list(found.missing),
        "auc": {"value": found.auc.value, "standard_error": found.auc.error},
    }


def as_html(found: Realism, title: str) -> str:
    """Return the report as one page without outside parts."""
    margin = 1.96 * found.auc.error
    missing = "".join(f"<li>{escape(why)}</li>" for why in found.missing)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>Realism: {escape(title)}</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "figure{display:inline-block;margin:0 2rem 2rem 0;vertical-align:top}"
        "figcaption{max-width:24rem}text{font-size:10px}</style></head><body>"
        f"<h1>Realism: {escape(title)}</h1>"
        "<p>A classifier tells simulated from real pages with an AUC of "
        f"<strong>{found.auc.value:.3f}</strong> ({found.auc.value - margin:.3f} to "
        f"{found.auc.value + margin:.3f}); 0.5 is not at all. Bars: real, simulated.</p>"
        + "".join(map(_figure, found.compared))
        + (f"<h2>Not compared</h2><ul>{missing}</ul>" if missing else "")
        + "</body></html>\n"
    )


def _figure(one: Compared) -> str:
    finite = [v for v in (*one.real, *one.simulated) if math.isfinite(v)]
    top = max(finite, default=0.0) or 1.0
    bars = []
    for n, (label, *sides) in enumerate(zip(one.labels, one.real, one.simulated, strict=True)):
        left = n * (2 * _BAR + _GAP)
        for k, (value, colour) in enumerate(zip(sides, (_REAL, _SIMULATED), strict=True)):
            if math.isfinite(value):
                height = _HEIGHT * value / top
                bars.append(
                    f"<rect x='{left + k * _BAR}' y='{_HEIGHT - height:.1f}' width='{_BAR}' "
                    f"height='{height:.1f}' fill='{colour}'><title>{value:.4f}</title></rect>"
                )
        bars.append(
            f"<text x='{left + _BAR}' y='{_HEIGHT + 12}' text-anchor='middle'>"
            f"{escape(label)}</text>"
        )
    width = len(one.labels) * (2 * _BAR + _GAP)
    return (
        f"<figure><svg width='{width}' height='{_HEIGHT + 16}' role='img' "
        f"aria-label='{escape(one.measure, quote=True)}'>{''.join(bars)}</svg>"
        f"<figcaption>{escape(one.measure)}: distance {one.distance:.3f} (standard error "
        f"{one.error:.3f}), by chance about "
        f"{one.by_chance:.3f}</figcaption></figure>"
    )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
