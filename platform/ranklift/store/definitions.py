"""What a definition must fit in the registry: versions and experiments that exist, and no other
experiment that wants the same page."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from ranklift.store.conflicts import conflict
from ranklift.store.experiment_rows import to_value
from ranklift.store.layers import OCCUPYING
from ranklift.store.tables import ExperimentRow, ModelVersionRow
from ranklift.store.values import (
    BUCKETS,
    LANGUAGE_MODEL,
    NO_RANKER,
    Arm,
    Experiment,
    ExperimentState,
    ModelRef,
)
from ranklift.v1.errors import InvalidRequest, NotFound, NotReady, Violation, refuse_if_any


def check_arms(experiment: Experiment) -> None:
    """Refuse arms that no splitter could use.

    Raises:
        InvalidRequest: the control is no arm, or the shares do not sum to 1.
    """
    if experiment.control not in {arm.name for arm in experiment.arms}:
        raise InvalidRequest.of(
            "control", f'"{experiment.control}" is not an arm; name one of the arms'
        )
    total = sum(arm.share for arm in experiment.arms)
    if total != BUCKETS:
        raise InvalidRequest.of("arms", f"the shares sum to {total / BUCKETS}, must sum to 1")


def check_references(session: Session, experiment: Experiment) -> None:
    """Refuse what refers to something that does not exist.

    Raises:
        NotFound: a model version or an experiment is not registered.
        InvalidRequest: a model version ranks nothing, or a prerequisite can never hold, or comes
            back to the experiment itself.
    """
    named = [
        (f"arms[{i}].{part}", ref, session.get(ModelVersionRow, (ref.model, ref.version)))
        for i, arm in enumerate(experiment.arms)
        for part, ref in _versions(arm)
    ]
    missing = [
        Violation(field, f"{ref} is not registered; register the model version first")
        for field, ref, row in named
        if row is None
    ]
    missing += [
        Violation(
            f"prerequisites[{i}].experiment",
            f'there is no experiment "{one.experiment}"; register it first',
        )
        for i, one in enumerate(experiment.prerequisites)
        if one.experiment != experiment.name and session.get(ExperimentRow, one.experiment) is None
    ]
    if missing:
        raise NotFound(missing)
    refuse_if_any(
        Violation(field, f"{ref} is {NO_RANKER}")
        for field, ref, row in named
        if row is not None and row.kind == LANGUAGE_MODEL
    )
    refuse_if_any(_never_met(session, experiment))


def check_conflicts(session: Session, experiment: Experiment) -> None:
    """Refuse an experiment that wants the same pages as one that runs or is paused.

    Raises:
        NotReady: names the other experiment.
    """
    others = session.scalars(
        select(ExperimentRow)
        .where(ExperimentRow.state.in_(OCCUPYING), ExperimentRow.name != experiment.name)
        .order_by(ExperimentRow.name)
    )
    found = [why for other in others if (why := conflict(experiment, to_value(other).experiment))]
    if found:
        raise NotReady([Violation("layer", why) for why in found])


def _versions(arm: Arm) -> Iterator[tuple[str, ModelRef]]:
    if arm.model is not None:
        yield "model", arm.model
    if arm.interleaving is not None:
        for i, ref in enumerate(arm.interleaving.models):
            yield f"interleaving.models[{i}]", ref
    for i, ref in enumerate(arm.shadows):
        yield f"shadows[{i}]", ref


def _never_met(session: Session, experiment: Experiment) -> Iterator[Violation]:
    for i, one in enumerate(experiment.prerequisites):
        field = f"prerequisites[{i}]"
        chain = _chain(session, one.experiment, experiment.name)
        if chain:
            path = " needs ".join(f'"{name}"' for name in (experiment.name, *chain))
            yield Violation(f"{field}.experiment", f"goes round in a circle: {path}")
            continue
        row = session.get_one(ExperimentRow, one.experiment)
        if row.state is ExperimentState.CONCLUDED:
            yield Violation(
                f"{field}.experiment", f'"{row.name}" is concluded, must be one that can run'
            )
        if row.layer == experiment.layer:
            yield Violation(
                f"{field}.experiment",
                f'"{row.name}" is of layer "{row.layer}" too, whose experiments share no unit; '
                "one of them must be in another layer",
            )
        names = [arm.name for arm in row.arms]
        for j, arm in enumerate(one.arms):
            if arm not in names:
                yield Violation(
                    f"{field}.arms[{j}]",
                    f'"{arm}" is no arm of "{row.name}", must be one of {", ".join(names)}',
                )


def _chain(session: Session, name: str, back_to: str) -> tuple[str, ...]:
    """Return the experiments over which `name` needs `back_to`, () when it does not."""
    chains: dict[str, tuple[str, ...]] = {name: (name,)}
    waiting = [name]
    while waiting:
        at = waiting.pop()
        if at == back_to:
            return chains[at]
        row = session.get(ExperimentRow, at)
        for one in to_value(row).experiment.prerequisites if row else ():
            if one.experiment not in chains:
                chains[one.experiment] = (*chains[at], one.experiment)
                waiting.append(one.experiment)
    return ()
