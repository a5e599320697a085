"""The models of the registry, their versions and the champion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import Engine, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ranklift.store.database import reading, utc_now, writing
from ranklift.store.paging import from_token, size_of, to_token
from ranklift.store.tables import ChampionRow, ModelRow, ModelVersionRow
from ranklift.store.values import LANGUAGE_MODEL, NO_RANKER, Lineage, ModelRef, ModelVersion
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound


class Models:
    """Keeps immutable model versions and the history of champions.

    Metrics may come later than the version, once.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def register(self, version: ModelVersion) -> ModelVersion:
        """Keep `version` and return it as kept; the same digest again returns the first one.

        Raises:
            AlreadyExists: the version is registered with another digest.
        """
        try:
            return self._register(version)
        except IntegrityError:
            # Another process registered it meanwhile; a second look tells with which digest.
            return self._register(version)

    def record_metrics(self, ref: ModelRef, metrics: Mapping[str, float]) -> ModelVersion:
        """Keep what a version that has no metrics was judged to be, and return it.

        Raises:
            NotFound: the model or the version is not registered.
            AlreadyExists: it has metrics.
        """
        with writing(self._engine) as session:
            row = _found(session, ref, lock=True)
            if row.metrics:
                raise AlreadyExists.of(
                    "metrics", f"{ref} has metrics, and they never change; register a new version"
                )
            row.metrics = dict(metrics)
            return _to_value(row)

    def get(self, ref: ModelRef) -> ModelVersion:
        """Return the version.

        Raises:
            NotFound: the model or the version is not registered.
        """
        with reading(self._engine) as session:
            return _to_value(_found(session, ref))

    def list(
        self, model: str = "", page_size: int = 100, page_token: str = ""
    ) -> tuple[list[ModelVersion], str]:
        """Return a page of versions by model, then oldest first, and the token of the next page.

        Raises:
            InvalidRequest: `page_size` or `page_token`.
        """
        size = size_of(page_size)
        after = from_token(page_token, 3)
        key = (ModelVersionRow.model, ModelVersionRow.created, ModelVersionRow.version)
        query = select(ModelVersionRow).order_by(*key).limit(size + 1)
        if model:
            query = query.where(ModelVersionRow.model == model)
        if after is not None:
            query = query.where(tuple_(*key) > (after[0], _instant(after[1]), after[2]))
        with reading(self._engine) as session:
            found = [_to_value(row) for row in session.scalars(query)]
        page = found[:size]
        if len(found) <= size:
            return page, ""
        last = page[-1]
        return page, to_token(last.ref.model, last.created.isoformat(), last.ref.version)

    def latest(self, model: str) -> ModelVersion | None:
        """Return the version of `model` that was registered last; None when it has none."""
        query = (
            select(ModelVersionRow)
            .where(ModelVersionRow.model == model)
            .order_by(ModelVersionRow.created.desc(), ModelVersionRow.version.desc())
            .limit(1)
        )
        with reading(self._engine) as session:
            row = session.scalar(query)
            return None if row is None else _to_value(row)

    def next_version(self, model: str) -> str:
        """Return the number after the highest numbered version of `model`: "1", "2", ...

        It is not reserved: of two who register it, the second is refused.
        """
        query = select(ModelVersionRow.version).where(ModelVersionRow.model == model)
        with reading(self._engine) as session:
            numbers = [int(version) for version in session.scalars(query) if version.isdecimal()]
        return str(max(numbers, default=0) + 1)

    def set_champion(self, ref: ModelRef, *, actor: str, reason: str) -> ModelVersion:
        """Make a version the champion and return it.

        Raises:
            NotFound: the model or the version is not registered.
            InvalidRequest: it ranks nothing.
        """
        with writing(self._engine) as session:
            row = _found(session, ref)
            if row.kind == LANGUAGE_MODEL:
                raise InvalidRequest.of("version", f"{ref} is {NO_RANKER}")
            session.add(champion_row(ref, actor=actor, reason=reason, now=self._clock()))
            return _to_value(row)

    def champion(self) -> ModelVersion | None:
        """Return the version that serves whoever is in no experiment; None before there is one."""
        query = (
            select(ModelVersionRow)
            .join(
                ChampionRow,
                (ChampionRow.model == ModelVersionRow.model)
                & (ChampionRow.version == ModelVersionRow.version),
            )
            .order_by(ChampionRow.number.desc())
            .limit(1)
        )
        with reading(self._engine) as session:
            row = session.scalar(query)
            return None if row is None else _to_value(row)

    def _register(self, version: ModelVersion) -> ModelVersion:
        ref = version.ref
        with writing(self._engine) as session:
            kept = session.get(ModelVersionRow, (ref.model, ref.version))
            if kept is not None:
                if kept.digest == version.digest:
                    return _to_value(kept)
                raise AlreadyExists.of(
                    "version",
                    f"{ref} is registered with digest {kept.digest}, and versions never change; "
                    "register a new version",
                )
            session.merge(ModelRow(name=ref.model))
            session.flush()
            row = _to_row(version)
            session.add(row)
            session.flush()
            return _to_value(row)


def champion_row(ref: ModelRef, *, actor: str, reason: str, now: datetime) -> ChampionRow:
    """Return the row that makes a registered version the champion."""
    return ChampionRow(
        model=ref.model, version=ref.version, actor=actor, reason=reason, created=now
    )


def _found(session: Session, ref: ModelRef, *, lock: bool = False) -> ModelVersionRow:
    row = session.get(ModelVersionRow, (ref.model, ref.version), with_for_update=lock)
    if row is not None:
        return row
    if session.get(ModelRow, ref.model) is None:
        raise NotFound.of("model", f'there is no model "{ref.model}"; list the model versions')
    raise NotFound.of(
        "version", f'model "{ref.model}" has no version "{ref.version}"; list the model versions'
    )


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest.of(
            "page_token", "not a token of this list; pass next_page_token of the previous reply"
        ) from error


def _to_row(version: ModelVersion) -> ModelVersionRow:
    return ModelVersionRow(
        model=version.ref.model,
        version=version.ref.version,
        kind=version.kind,
        digest=version.digest,
        numerics=version.numerics,
        uri=version.uri,
        stage=version.lineage.stage,
        parents=list(version.lineage.parents),
        run_id=version.lineage.run_id,
        metrics=dict(version.lineage.metrics),
        created=version.created,
    )


def _to_value(row: ModelVersionRow) -> ModelVersion:
    return ModelVersion(
        ref=ModelRef(row.model, row.version),
        kind=row.kind,
        digest=row.digest,
        numerics=row.numerics,
        uri=row.uri,
        lineage=Lineage(row.stage, tuple(row.parents), row.run_id, dict(row.metrics)),
        created=row.created,
    )
