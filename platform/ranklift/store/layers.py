"""The layers of the registry: who occupies which slots, holdouts, and fresh salts.

The functions work inside somebody's `writing_alone` session.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ranklift.store.slots import Ranges, allocate, free_slots, size_of
from ranklift.store.tables import ExperimentRow, LayerRevisionRow, LayerRow
from ranklift.store.values import BUCKETS, ExperimentState, Layer
from ranklift.v1.errors import NotReady

# From its first start to its conclusion an experiment keeps its place in its layer.
OCCUPYING = (ExperimentState.RUNNING, ExperimentState.PAUSED)


def layer_row(session: Session, name: str) -> LayerRow:
    """Return the row of a layer, which is made when there is none."""
    row = session.get(LayerRow, name)
    if row is None:
        row = LayerRow(name=name, salt=_salt(name, 1), generation=1, holdout_share=0)
        session.add(row)
        session.flush()
    return row


def to_layer(row: LayerRow) -> Layer:
    """Return what a row says."""
    return Layer(row.name, row.salt, row.holdout_share)


def occupants(session: Session, layer: str) -> list[ExperimentRow]:
    """Return the experiments that run or are paused in a layer, by name."""
    return list(
        session.scalars(
            select(ExperimentRow)
            .where(ExperimentRow.layer == layer, ExperimentRow.state.in_(OCCUPYING))
            .order_by(ExperimentRow.name)
        )
    )


def take_slots(session: Session, row: ExperimentRow) -> None:
    """Give an experiment the part of its layer that it asks for.

    Raises:
        NotReady: there is too little room; says who holds the rest.
    """
    held: dict[str, Ranges] = {
        one.name: tuple((start, end) for start, end in one.slots)
        for one in occupants(session, row.layer)
        if one.name != row.name
    }
    slots = allocate(held.values(), row.layer_share)
    if slots is None:
        free = size_of(free_slots(held.values()))
        by = ", ".join(f'"{n}" ({size_of(r) / BUCKETS:g})' for n, r in held.items() if r)
        raise NotReady.of(
            "layer_share",
            f'layer "{row.layer}" has {free / BUCKETS:g} free and "{row.name}" needs '
            f"{row.layer_share / BUCKETS:g}; {by} hold the rest: conclude one of them first, or "
            "use another layer",
        )
    row.slots = [list(one) for one in slots]


def give_back_slots(session: Session, row: ExperimentRow, *, actor: str, now: datetime) -> None:
    """Free the slots of an experiment that was just concluded.

    When it was the layer's last one, the layer gets another salt: the units that its next
    experiments meet are other groups than those that still carry what the last ones did to them.
    """
    row.slots = []
    session.flush()
    if occupants(session, row.layer):
        return
    layer = layer_row(session, row.layer)
    layer.generation += 1
    layer.salt = _salt(layer.name, layer.generation)
    revise_layer(session, layer, actor=actor, reason=f'"{row.name}" was the last one', now=now)


def revise_layer(
    session: Session, row: LayerRow, *, actor: str, reason: str, now: datetime
) -> None:
    """Put a layer's present holdout and salt on record."""
    last = session.scalar(
        select(func.max(LayerRevisionRow.number)).where(LayerRevisionRow.layer == row.name)
    )
    session.add(
        LayerRevisionRow(
            layer=row.name,
            number=(last or 0) + 1,
            salt=row.salt,
            holdout_share=row.holdout_share,
            actor=actor,
            reason=reason,
            created=now,
        )
    )


def _salt(name: str, generation: int) -> str:
    return f"{name}/slots/{generation}"
