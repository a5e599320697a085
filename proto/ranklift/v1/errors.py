"""Why a request is refused, as values that any layer can raise.

    RequestError            a request that is not served; says what to do
    ├── InvalidRequest      a field is wrong                     INVALID_ARGUMENT
    ├── NotFound            a field names what does not exist    NOT_FOUND
    ├── AlreadyExists       a field names what exists already    ALREADY_EXISTS
    ├── NotReady            right, but not in this state         FAILED_PRECONDITION
    ├── Conflict            somebody else was faster             ABORTED
    ├── Overloaded          right, but not now                   RESOURCE_EXHAUSTED
    ├── Expired             its deadline passed                  DEADLINE_EXCEEDED
    ├── Unreachable         what is needed does not answer       UNAVAILABLE
    ├── Unauthenticated     nobody knows who calls               UNAUTHENTICATED
    └── Forbidden           known, and may not                   PERMISSION_DENIED

A fault of ours is none of these: it stays an ordinary exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

MAX_VIOLATIONS = 20  # nobody mends more than that at a time


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one field.

    `field` is a path as in `google.rpc.BadRequest`: "documents[2].id". It is
    empty where no single field is to blame.
    """

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class RequestError(Exception):
    """A request that is not served, with what is wrong and what to do about it."""

    code: ClassVar[str] = "UNKNOWN"

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(str(violation) for violation in violations))
        self.violations = tuple(violations)

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is pickled with the arguments of `Exception`, here the message.
        return type(self), (self.violations,), self.__dict__

    @classmethod
    def of(cls, field: str, description: str) -> RequestError:
        """Return the error of a single violation."""
        return cls([Violation(field, description)])

    def under(self, prefix: str) -> RequestError:
        """Return the same error of a message that is the field `prefix` of a request."""
        return type(self)(
            [Violation(f"{prefix}.{v.field}".rstrip("."), v.description) for v in self.violations]
        )


class InvalidRequest(RequestError):
    """A field is missing, malformed or out of range."""

    code = "INVALID_ARGUMENT"


class NotFound(RequestError):
    """A field names something that does not exist."""

    code = "NOT_FOUND"


class AlreadyExists(RequestError):
    """A field names something that exists already, with other content."""

    code = "ALREADY_EXISTS"


class NotReady(RequestError):
    """The request is right but not in the present state."""

    code = "FAILED_PRECONDITION"


class Conflict(RequestError):
    """The thing changed since the caller looked; look again."""

    code = "ABORTED"


class Overloaded(RequestError):
    """There is no room for the request now; try again later.

    `retry_seconds` says when: None where nothing is known, negative where a
    retry is of no use.
    """

    code = "RESOURCE_EXHAUSTED"

    def __init__(self, violations: Sequence[Violation], retry_seconds: float | None = None) -> None:
        super().__init__(violations)
        self.retry_seconds = retry_seconds


class Expired(RequestError):
    """The deadline of the call passed before there was an answer."""

    code = "DEADLINE_EXCEEDED"


class Unreachable(RequestError):
    """Something the request needs does not answer."""

    code = "UNAVAILABLE"


class Unauthenticated(RequestError):
    """The call shows no token, or none that is valid."""

    code = "UNAUTHENTICATED"


class Forbidden(RequestError):
    """The caller is known, and may not do this."""

    code = "PERMISSION_DENIED"


def refuse_if_any(violations: Iterable[Violation]) -> None:
    """Raise everything that is wrong at once, up to `MAX_VIOLATIONS` and a note that there is more.

    `violations` is read no further than that: the check of a hostile request
    stays as cheap as that of a good one.

    Raises:
        InvalidRequest: there is a violation.
    """
    found = list(islice(violations, MAX_VIOLATIONS + 1))
    if len(found) > MAX_VIOLATIONS:
        found[-1] = Violation("", "and more")
    if found:
        raise InvalidRequest(found)
