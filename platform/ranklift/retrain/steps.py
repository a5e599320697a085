"""The steps of a run, each on record with what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from ranklift.store.runs import Runs
from ranklift.store.values import RunState
from ranklift.v1.errors import RequestError

log = structlog.get_logger(__name__)


class Ended(Exception):
    """A run ends here, in `state`, and not because of a fault."""

    def __init__(self, state: RunState, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class Outcome:
    """What a step says about itself when it ends; one sentence."""

    detail = ""


@contextmanager
def step(runs: Runs, run_id: str, name: str) -> Iterator[Outcome]:
    """Record a step from its begin to its end, whichever way it ends.

    Raises:
        Ended: the run ends with this step. A fault becomes a failed run, with
            the traceback in the log.
    """
    runs.step_started(run_id, name)
    log.info("step_started", run_id=run_id, step=name)
    outcome = Outcome()
    try:
        yield outcome
    except Ended as ended:
        runs.step_ended(run_id, name, ended.state, ended.reason)
        raise
    except Exception as error:
        log.exception("step_failed", run_id=run_id, step=name)
        reason = sentence_of(error)
        runs.step_ended(run_id, name, RunState.FAILED, reason)
        raise Ended(RunState.FAILED, f"{name}: {reason}") from error
    runs.step_ended(run_id, name, RunState.SUCCEEDED, outcome.detail)
    log.info("step_ended", run_id=run_id, step=name, detail=outcome.detail)


def sentence_of(error: Exception) -> str:
    """Return what an error says, on one line; its kind too unless it is a refusal of ours."""
    text = " ".join(str(error).split())
    if isinstance(error, RequestError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
