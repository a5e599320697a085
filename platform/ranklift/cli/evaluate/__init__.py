"""`ranklift evaluate`: how well rankers order a judged collection, and what their scores mean."""

from ranklift.cli.evaluate.command import evaluate

__all__ = ["evaluate"]
