"""How a model breaks down, said in a line: neither a request is wrong, nor the program."""

from __future__ import annotations


class TrainingFailed(Exception):
    """A model that learnt nothing, and why."""


class NotFinite(ArithmeticError):
    """Scores that are no numbers to rank by, and whose they are."""
