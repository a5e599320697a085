"""Errors that come back from another process say what they said there."""

import pickle

import pytest

from ranklift.v1.errors import InvalidRequest, NotFound, Overloaded, RequestError, Violation


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest([Violation("a", "is wrong"), Violation("", "all of it")]),
        NotFound.of("model", "is not there"),
        Overloaded([Violation("queue", "is full")], retry_seconds=0.5),
    ],
)
def test_an_error_survives_pickling(error: RequestError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.violations == error.violations
    assert vars(again) == vars(error)
