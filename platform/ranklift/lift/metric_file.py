"""Metrics declared in a file, for logs that belong to no registered experiment.

In TOML (JSON and YAML have the same keys):

    [[metrics]]
    name = "deep_clicks"
    title = "Clicks per page, capped"
    unit = "clicks per page"
    definition = "Clicks divided by pages, a user's clicks capped at the 99 % quantile."
    numerator = "clicks"
    denominator = "pages"
    cap_quantile = 0.99
"""

from __future__ import annotations

from pathlib import Path

from ranklift.store.analysis import Metric
from ranklift.store.analysis_json import read_metrics
from ranklift.store.declaration_file import read_declaration
from ranklift.v1.errors import InvalidRequest


def read_metric_file(path: Path) -> tuple[Metric, ...]:
    """Return the metrics under the key "metrics" of a TOML, YAML or JSON file, not yet checked.

    Raises:
        InvalidRequest: the file cannot be read, is malformed, or has an unknown key or a value of
            a wrong type.
    """
    content = read_declaration(path)
    if not isinstance(content, dict) or set(content) != {"metrics"}:
        raise InvalidRequest.of(str(path), 'must have the one key "metrics", a list of tables')
    return read_metrics(content["metrics"], f"{path}: metrics")
