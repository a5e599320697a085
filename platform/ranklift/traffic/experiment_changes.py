"""Which fields of an experiment a call may change, and the experiment with the change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from ranklift.store.values import Experiment, ExperimentState, RegisteredExperiment
from ranklift.traffic.checks import quoted
from ranklift.traffic.experiment_messages import experiment_message
from ranklift.traffic.experiment_values import experiment_value
from ranklift.traffic.experiments import violations
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import Violation, refuse_if_any

# The fields of the message that a call may set, with the name of the value's field.
FIELDS: Mapping[str, str] = {
    "owner": "owner",
    "hypothesis": "hypothesis",
    "layer": "layer",
    "unit": "unit",
    "arms": "arms",
    "control": "control",
    "traffic_share": "traffic_share",
    "salt": "salt",
    "primary_metric": "primary_metric",
    "planned_end_time": "planned_end",
    "analysis": "analysis",
    "layer_share": "layer_share",
    "conditions": "conditions",
    "prerequisites": "prerequisites",
    "forced_units": "forced",
    "ramp": "ramp",
}


def changed_experiment(
    present: RegisteredExperiment, given: pb.Experiment, paths: Sequence[str], *, now: datetime
) -> tuple[Experiment, Collection[str]]:
    """Return the experiment with the fields `paths` of `given`, and the names of the value's
    fields that are to change.

    What was made of other fields is made again: the salt, of the layer; the traffic share, of the
    ramp's first step.

    Raises:
        InvalidRequest: a path names no field that can be set, or the experiment would be wrong.
    """
    refuse_if_any(_path_violations(paths))
    message = experiment_message(present)
    made = _made_of_others(message, given, paths)
    for path in (*paths, *made):
        message.ClearField(path)  # type: ignore[arg-type]
    message.MergeFrom(_only(given, paths))
    wrong = violations(message, now)
    refuse_if_any(one for one in wrong if _counts(one, paths, present.state))
    return experiment_value(message), {FIELDS[path] for path in (*paths, *made)}


def _path_violations(paths: Sequence[str]) -> Iterator[Violation]:
    if not paths:
        yield Violation("update_mask", "is empty, must name the fields to change")
    for i, path in enumerate(paths):
        if path in FIELDS:
            continue
        root = path.split(".", 1)[0]
        if root in FIELDS:
            what = f"must be all of {quoted(root)}"
        elif path in pb.Experiment.DESCRIPTOR.fields_by_name:
            what = "cannot be set"
        else:
            what = f"is no field of an experiment, must be one of {', '.join(FIELDS)}"
        yield Violation(f"update_mask.paths[{i}]", f"{quoted(path)} {what}")


def _made_of_others(
    message: pb.Experiment, given: pb.Experiment, paths: Sequence[str]
) -> list[str]:
    made = []
    if "layer" in paths and message.salt == f"{message.layer}/{message.name}":
        made.append("salt")
    if "ramp" in paths and given.HasField("ramp"):
        made.append("traffic_share")
    return [path for path in made if path not in paths]


def _only(given: pb.Experiment, paths: Sequence[str]) -> pb.Experiment:
    """Return a message with these fields alone."""
    only = pb.Experiment()
    only.CopyFrom(given)
    for path in FIELDS:
        if path not in paths:
            only.ClearField(path)  # type: ignore[arg-type]
    for output_only in set(pb.Experiment.DESCRIPTOR.fields_by_name) - set(FIELDS):
        only.ClearField(output_only)  # type: ignore[arg-type]
    return only


def _counts(violation: Violation, paths: Sequence[str], state: ExperimentState) -> bool:
    """Return whether a change is to blame: an experiment may have outlived its planned end, and
    its traffic share may be past the ramp's first step."""
    root = violation.field.split("[", 1)[0].split(".", 1)[0]
    if state is not ExperimentState.DRAFT or root == "planned_end_time":
        return root in paths
    return True
