"""The bearer tokens of the registry, by their hashes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError

from ranklift.store.database import reading, utc_now, writing
from ranklift.store.tables import TokenRow
from ranklift.v1.access import Role
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotFound, NotReady, RequestError
from ranklift.v1.rate import Rate
from ranklift.v1.tokens import Token, new_secret

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token and when it was made and revoked."""

    token: Token
    created: datetime
    revoked: datetime | None


class Tokens:
    """Keeps who may call. A name is used once: the audit log tells of it for ever."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def create(
        self,
        name: str,
        roles: Iterable[Role],
        *,
        expires: datetime | None = None,
        rate: Rate | None = None,
    ) -> str:
        """Make a token and return it, for the only time.

        Raises:
            InvalidRequest: name, roles, expiry or rate.
            AlreadyExists: there is or was a token of this name.
        """
        wanted = sorted(set(roles))
        if not _NAME.fullmatch(name) or name == "local":
            raise InvalidRequest.of(
                "name",
                f'"{name}", must be 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit, '
                'and not "local"',
            )
        if not wanted:
            raise InvalidRequest.of("role", f"is missing; choose of {', '.join(Role)}")
        if expires is not None and expires <= self._clock():
            raise InvalidRequest.of("expires", f"{expires.isoformat()} is over; name a later time")
        token_id, text, digest = new_secret()
        row = TokenRow(
            name=name,
            token_id=token_id,
            digest=digest.hex(),
            roles=[str(role) for role in wanted],
            created=self._clock(),
            expires=expires,
            per_second=rate.per_second if rate else None,
            burst=rate.burst if rate else None,
        )
        try:
            with writing(self._engine) as session:
                session.add(row)
        except IntegrityError as error:
            raise AlreadyExists.of(
                "name", f'there is or was a token "{name}"; choose another name'
            ) from error
        return text

    def list(self) -> tuple[KnownToken, ...]:
        """Return all tokens by name, the revoked ones too."""
        with reading(self._engine) as session:
            rows = session.scalars(select(TokenRow).order_by(TokenRow.name))
            return tuple(KnownToken(_to_value(row), row.created, row.revoked) for row in rows)

    def valid(self) -> dict[str, Token]:
        """Return the tokens that are not revoked, by id; whether one expired is seen at its use."""
        with reading(self._engine) as session:
            rows = session.scalars(select(TokenRow).where(TokenRow.revoked.is_(None)))
            return {row.token_id: _to_value(row) for row in rows}

    def any(self) -> bool:
        """Return whether there is a token that is not revoked."""
        query = select(func.count()).select_from(TokenRow).where(TokenRow.revoked.is_(None))
        with reading(self._engine) as session:
            return bool(session.scalar(query))

    def revoke(self, name: str) -> None:
        """Make the token worthless, for good; servers know it within two seconds.

        Raises:
            NotFound: there is none of this name.
            NotReady: it was revoked before.
        """
        with writing(self._engine) as session:
            row = session.get(TokenRow, name, with_for_update=True)
            if row is None:
                raise _not_found(name)
            if row.revoked is not None:
                raise NotReady.of("name", f'the token "{name}" was revoked at {row.revoked}')
            row.revoked = self._clock()


def _not_found(name: str) -> RequestError:
    return NotFound.of("name", f'there is no token "{name}"; list the tokens')


def _to_value(row: TokenRow) -> Token:
    limited = row.per_second is not None and row.burst is not None
    return Token(
        token_id=row.token_id,
        name=row.name,
        digest=bytes.fromhex(row.digest),
        roles=frozenset(Role(role) for role in row.roles),
        expires=row.expires,
        rate=Rate(row.per_second or 0.0, row.burst or 0.0) if limited else None,
    )
