"""The definition of an experiment in a file, for `ranklift experiment apply FILE`.

In TOML (JSON and YAML have the same keys):

    name = "title-boost"
    hypothesis = "The student brings more pages with a click."
    traffic_share = 0.5

    [[arms]]
    name = "control"
    share = 0.5
    model = "bm25@1"

    [[arms]]
    name = "treatment"
    share = 0.5
    model = "student@3"

    [analysis]
    planned_units = 200000

    [[analysis.guardrails]]
    metric = "latency"
    margin = 0.05
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from ranklift.lift.plan_messages import plan_message
from ranklift.store.analysis_json import read_plan
from ranklift.store.declaration_file import read_declaration
from ranklift.store.values import ModelRef
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import InvalidRequest
from ranklift.v1.ranking_pb2 import ModelSelector

_UNITS = {"user": pb.UNIT_USER, "session": pb.UNIT_SESSION}


def read_experiment_file(path: Path) -> pb.Experiment:
    """Return the definition in a TOML, YAML or JSON file; its values are not checked yet.

    Raises:
        InvalidRequest: the file cannot be read, is malformed, or has an unknown
            key or a value of a wrong type; the field is "file: key".
    """
    return _Table(f"{path}: ", "", read_declaration(path)).experiment()


class _Table:
    """A mapping read from a file, whose values are taken by key and type."""

    def __init__(self, file: str, prefix: str, content: object) -> None:
        if not isinstance(content, dict):
            raise InvalidRequest.of(
                f"{file}{prefix}".rstrip(": ."), f"is {_kind(content)}, must be a table of keys"
            )
        self.file = file
        self.prefix = prefix
        self.content: dict[Any, object] = dict(content)

    def experiment(self) -> pb.Experiment:
        # On the wire 0 stands for "not given"; who writes a 0 here does not mean 1.
        if self.content.get("traffic_share") == 0:
            raise self.wrong("traffic_share", "0 is no share, must be above 0 and at most 1")
        message = pb.Experiment(
            name=self.text("name"),
            owner=self.text("owner"),
            hypothesis=self.text("hypothesis"),
            layer=self.text("layer"),
            unit=_UNITS[self.choice("unit", tuple(_UNITS))],
            arms=self.arms(),
            control=self.text("control"),
            traffic_share=self.number("traffic_share"),
            salt=self.text("salt"),
            primary_metric=self.text("primary_metric"),
            planned_end_time=self.instant("planned_end_time"),
            analysis=self.analysis(),
        )
        self.end()
        return message

    def analysis(self) -> pb.AnalysisPlan | None:
        content = self.content.pop("analysis", None)
        if content is None:
            return None
        return plan_message(read_plan(content, f"{self.file}{self.prefix}analysis"))

    def arms(self) -> list[pb.Arm]:
        listed = self.content.pop("arms", [])
        if not isinstance(listed, list):
            raise self.wrong("arms", f"is {_kind(listed)}, must be a list")
        tables = [_Table(self.file, f"arms[{i}].", content) for i, content in enumerate(listed)]
        return [table.arm() for table in tables]

    def arm(self) -> pb.Arm:
        arm = pb.Arm(name=self.text("name"), share=self.number("share"), model=self.model())
        self.end()
        return arm

    def model(self) -> ModelSelector:
        text = self.text("model")
        if not text:
            return ModelSelector()
        try:
            ref = ModelRef.parse(text)
        except ValueError as error:
            raise self.wrong("model", str(error)) from error
        return ModelSelector(name=ref.model, version=ref.version)

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """Return one of `allowed`, the first when the key is missing."""
        text = self.text(key) or allowed[0]
        if text not in allowed:
            raise self.wrong(key, f'"{text}" is not allowed, must be one of {", ".join(allowed)}')
        return text

    def text(self, key: str) -> str:
        """Return a text, "" when the key is missing."""
        value = self.content.pop(key, None)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(key, f"is {_kind(value)}, must be text")
        try:
            value.encode()
        except UnicodeEncodeError as error:  # JSON can spell half a character
            raise self.wrong(key, "is not valid Unicode") from error
        return value

    def number(self, key: str) -> float:
        """Return a number, 0 when the key is missing."""
        value = self.content.pop(key, None)
        if value is None:
            return 0.0
        # bool is an int to Python, but nobody means a share by it.
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, f"is {_kind(value)}, must be a number")
        try:
            return float(value)
        except OverflowError as error:
            raise self.wrong(key, "is too large for a number") from error

    def instant(self, key: str) -> Timestamp | None:
        """Return an instant, None when the key is missing; UTC unless it says otherwise."""
        value = self.content.pop(key, None)
        if value is None:
            return None
        try:
            instant = datetime.fromisoformat(value) if isinstance(value, str) else value
            if not isinstance(instant, datetime):
                raise ValueError(f"{value} is no date with a time")
            timestamp = Timestamp()
            timestamp.FromDatetime(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
        except (ValueError, OverflowError) as error:
            raise self.wrong(key, f"{value} is no instant, e.g. 2030-01-31T12:00:00Z") from error
        return timestamp

    def end(self) -> None:
        """Refuse the keys that nobody asked for: they are misspelled."""
        for key in self.content:
            raise self.wrong(str(key), "is no known key")

    def wrong(self, key: str, description: str) -> Exception:
        return InvalidRequest.of(f"{self.file}{self.prefix}{key}", description)


def _kind(value: object) -> str:
    names = {dict: "a table", list: "a list", str: "text", bool: "true or false"}
    names |= {int: "a number", float: "a number", type(None): "empty"}
    return names.get(type(value), f"a {type(value).__name__}")
