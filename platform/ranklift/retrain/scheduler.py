"""The scheduler: queues a run when a schedule fires, and launches what is queued.

Firing and launching are two things, joined by the registry: a run that somebody
asked for through RetrainingService or the command line is launched just as one
that a schedule queued.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from threading import Event, Thread
from typing import Any, Protocol

import structlog
from apscheduler.events import EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Engine

from ranklift.retrain.timing import trigger_of
from ranklift.store.runs import Runs
from ranklift.store.schedules import Schedules
from ranklift.store.values import RunState, Schedule
from ranklift.v1.errors import NotFound, NotReady

TABLE = "apscheduler_jobs"
POLL_SECONDS = 1.0
# A firing missed by no more than this, because no scheduler ran, is made up for, once.
MISFIRE_GRACE_SECONDS = 3_600
# The command line's exit code for a request that is refused: another scheduler's process has
# claimed the run.
REFUSED = 2

log = structlog.get_logger(__name__)


class Process(Protocol):
    """A run under way in a process of its own; `subprocess.Popen` is one."""

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        ...


Launch = Callable[[str], Process]


def fired(schedule: str) -> str:
    """Return the name of the schedule that fired.

    This is the job that APScheduler keeps in the database. It holds no address
    and no secret, so that the database can be moved; the listener does the rest.
    """
    return schedule


class RetrainingScheduler:
    """Keeps APScheduler's jobs in step with the schedules, and launches queued runs one by one."""

    def __init__(
        self,
        engine: Engine,
        schedules: Schedules,
        runs: Runs,
        launch: Launch,
        *,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._schedules = schedules
        self._runs = runs
        self._launch = launch
        self._under_way: tuple[str, Process] | None = None
        self._poll_seconds = poll_seconds
        self._closed = Event()
        # Not a job of APScheduler: its shutdown waits for jobs while it holds the locks that a
        # round needs.
        self._rounds = Thread(target=self._go_round, name="retraining-rounds", daemon=True)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": SQLAlchemyJobStore(engine=engine, tablename=TABLE)},
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={
                "coalesce": True,
                "max_instances": 1,
                "misfire_grace_time": MISFIRE_GRACE_SECONDS,
            },
        )
        self._scheduler.add_listener(self._on_fired, EVENT_JOB_EXECUTED)

    def start(self) -> None:
        """Begin to fire and to launch, in threads of its own."""
        # A job of a schedule that is gone must not fire once more.
        self._scheduler.start(paused=True)
        self._follow_schedules()
        self._scheduler.resume()
        self._rounds.start()

    def close(self) -> None:
        """Stop firing and launching. A run under way goes on in its process."""
        self._closed.set()
        self._rounds.join()
        self._scheduler.shutdown()

    def _go_round(self) -> None:
        while not self._closed.wait(self._poll_seconds):
            try:
                self._follow_schedules()
                self._follow_run()
                self._launch_next()
            except Exception:
                # The registry may be away for a while; the next round looks again.
                log.exception("round_failed")

    def _follow_schedules(self) -> None:
        """Make APScheduler's jobs those of the schedules, whoever changed them."""
        wanted = {s.name: s for s in self._schedules.list() if not s.paused}
        present = {job.id: job for job in self._scheduler.get_jobs()}
        for name in present.keys() - wanted.keys():
            self._scheduler.remove_job(name)
        for name, schedule in wanted.items():
            self._follow_schedule(schedule, present.get(name))

    def _follow_schedule(self, schedule: Schedule, job: Any) -> None:
        try:
            trigger = trigger_of(schedule)
        except ValueError as error:
            log.error("schedule_not_usable", schedule=schedule.name, reason=str(error))
            return
        if job is None:
            self._scheduler.add_job(
                fired,
                trigger,
                args=[schedule.name],
                id=schedule.name,
                replace_existing=True,
            )
        elif str(job.trigger) != str(trigger):
            self._scheduler.reschedule_job(schedule.name, trigger=trigger)

    def _on_fired(self, event: JobExecutionEvent) -> None:
        try:
            run = self._runs.create(event.retval)
        except NotFound:
            return  # deleted in this very moment
        log.info("schedule_fired", schedule=run.schedule, run_id=run.run_id)

    def _follow_run(self) -> None:
        """End the record of a run whose process ended without doing so."""
        if self._under_way is None:
            return
        run_id, process = self._under_way
        code = process.poll()
        if code is None:
            return
        self._under_way = None
        state = self._runs.get(run_id).state
        if code == REFUSED and state is RunState.RUNNING:
            return
        if not state.over:
            self._fail(run_id, f"its process ended early, with exit code {code}; see its log")

    def _launch_next(self) -> None:
        """Launch the oldest queued run unless one is under way: training takes all cores."""
        queued = self._runs.queued()
        if self._under_way is not None or not queued:
            return
        run_id = queued[0].run_id
        try:
            self._under_way = (run_id, self._launch(run_id))
        except Exception as error:
            log.exception("launch_failed", run_id=run_id)
            self._fail(run_id, f"its process could not be started: {error}")
        else:
            log.info("run_launched", run_id=run_id)

    def _fail(self, run_id: str, reason: str) -> None:
        log.error("run_failed", run_id=run_id, reason=reason)
        try:
            self._runs.finish(run_id, RunState.FAILED, reason)
        except NotReady:
            log.info("run_over_already", run_id=run_id)
