"""The reporter: one agent's state, and the loop that keeps greenroom informed of it.

    starting ──open()/busy()──▶ open ◀──▶ busy
        │                        │         │
        └────────── close() ─────┴─────────┴──▶ closed   (final)

Nothing is said while `starting`: greenroom gives an agent until its join deadline to come up,
and must not take one that hangs before its session for one that listens. From then on the
state is said at every change and every `beat_s`, until `closed` is acknowledged.

One request at a time, always with the latest state: two at once could arrive in the wrong
order, and an `open` behind a `closed` would make a deaf agent look alive.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Literal

from ._alive import Alive, Answer, BadAttributesError, SaidState, Target, Verdict
from ._timing import Timing

if TYPE_CHECKING:
    from livekit.agents import AgentSession, AgentStateChangedEvent, CloseEvent, JobContext

logger = logging.getLogger("greenroom_agents")

State = Literal["starting", "open", "busy", "closed"]

# Shorter than this, trouble is not worth a line above debug: a connection closed by a load
# balancer, one replica's restart.
FAILURES_BEFORE_WARNING = 2


def report(
    ctx: JobContext,
    session: AgentSession[Any] | None = None,
    *,
    end_job_when_closed: bool = True,
) -> Reporter:
    """Report this job's agent to greenroom until the job ends.

    Call it once, in the entry point, before `session.start()`. A job that greenroom did not
    dispatch is left alone.

    Args:
        ctx: The job's context, as the entry point receives it.
        session: The session to follow. Without one, call `open()`, `busy()` and `close()` on
            the reporter yourself.
        end_job_when_closed: Shut the job down when the session closes. LiveKit's default
            keeps an agent in the room after its session has ended with its person's leaving:
            it looks alive and hears nobody. Ended, it leaves, and greenroom dispatches a
            fresh one when a person returns.

    """
    return start(ctx, session, end_job_when_closed=end_job_when_closed, timing=Timing())


def start(
    ctx: JobContext,
    session: AgentSession[Any] | None,
    *,
    end_job_when_closed: bool,
    timing: Timing,
) -> Reporter:
    """Do what `report` does, with other times."""
    try:
        target = Target.from_attributes(ctx.job.attributes)
    except BadAttributesError as error:
        logger.warning("not reporting to greenroom: %s", error)
        target = None
    else:
        if target is None:
            logger.debug("not reporting: greenroom did not dispatch this job")
    reporter = Reporter(ctx, target, end_job_when_closed=end_job_when_closed, timing=timing)
    if target is not None:
        reporter._start(target, session)  # noqa: SLF001 - the two make one module
    return reporter


class Reporter:
    """Keeps greenroom informed of one agent's state. Made by `report`.

    Its methods belong to the job's event loop: call them from no other thread.
    """

    def __init__(
        self, ctx: JobContext, target: Target | None, *, end_job_when_closed: bool, timing: Timing
    ) -> None:
        self._ctx = ctx
        self._target = target
        self._end_job_when_closed = end_job_when_closed
        self._timing = timing
        self._session: AgentSession[Any] | None = None
        self._state: State = "starting"
        self._changed = asyncio.Event()
        self._close_by: float | None = None
        self._job_ends = False
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        """Show the dispatch and the state, never the token."""
        dispatch_id = self._target.dispatch_id if self._target else None
        return f"<Reporter dispatch={dispatch_id!r} state={self._state!r}>"

    @property
    def state(self) -> State:
        """The agent's state: `starting` until the session is up, `closed` for good."""
        return self._state

    @property
    def reporting(self) -> bool:
        """Whether greenroom is (still) being told."""
        return self._task is not None and not self._task.done()

    def open(self) -> None:
        """Say that the agent is up and listens."""
        self._set("open")

    def busy(self) -> None:
        """Say that the agent is thinking or speaking."""
        self._set("busy")

    def close(self) -> None:
        """Say that the agent serves nobody any more; ends the job, too, unless told not to."""
        self._close("closed by the agent")

    async def aclose(self) -> None:
        """`close()`, and wait until greenroom has acknowledged it or 8 s have passed."""
        self.close()
        await self._finished()

    # -- what the framework tells

    def _start(self, target: Target, session: AgentSession[Any] | None) -> None:
        self._ctx.add_shutdown_callback(self._on_job_shutdown)
        if session is not None:
            self._session = session
            session.on("agent_state_changed", self._on_agent_state_changed)
            session.on("close", self._on_session_close)
            self._follow(session.agent_state)
        self._task = asyncio.create_task(self._run(target), name="greenroom_alive")

    def _on_agent_state_changed(self, event: AgentStateChangedEvent) -> None:
        self._follow(event.new_state)

    def _follow(self, agent_state: str) -> None:
        if agent_state in ("thinking", "speaking"):
            self.busy()
        elif agent_state != "initializing":
            self.open()

    def _on_session_close(self, event: CloseEvent) -> None:
        self._close(f"session closed: {event.reason.value}")

    async def _on_job_shutdown(self, reason: str) -> None:
        self._job_ends = True
        self._close(reason)
        await self._finished()

    # -- the state

    def _set(self, state: State) -> None:
        if self._state in (state, "closed"):
            return
        self._state = state
        self._changed.set()

    def _close(self, reason: str) -> None:
        if self._state == "closed":
            return
        self._close_by = time.monotonic() + self._timing.closing_s
        self._set("closed")
        if self._target is not None and self._end_job_when_closed:
            self._end_job(f"greenroom: {reason}")

    def _end_job(self, reason: str) -> None:
        if self._job_ends:
            return
        self._job_ends = True
        logger.debug("ending the job: %s", reason, extra=self._fields())
        self._ctx.shutdown(reason)

    async def _finished(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    # -- the loop

    async def _run(self, target: Target) -> None:
        alive = Alive(target, retry_after_max_s=self._timing.retry_after_max_s)
        try:
            await self._beat(alive)
        except Exception:
            logger.exception("reporting to greenroom broke off", extra=self._fields())
        finally:
            await alive.aclose()

    async def _beat(self, alive: Alive) -> None:
        failures = 0
        while True:
            self._changed.clear()
            state = self._state
            if state == "starting":
                await self._changed.wait()
                continue
            due = time.monotonic() + self._timing.beat_s
            if (left_s := self._closing_left_s()) <= 0:
                logger.warning("greenroom could not be told that it closed", extra=self._fields())
                return
            answer = await alive.say(state, timeout_s=min(self._timing.request_s, left_s))

            if answer.verdict is Verdict.AGAIN:
                failures += 1
                self._log_failure(failures, answer)
                await self._pause(failures, answer)
                continue
            if answer.verdict is not Verdict.HEARD:
                self._stop(state, answer)
                return
            if failures >= FAILURES_BEFORE_WARNING:
                logger.info("greenroom answers again", extra=self._fields())
            failures = 0
            if state == "closed":
                return
            # Absolute: after a stall of the event loop the next beat is late, and goes at once.
            await self._changed_within(due - time.monotonic())

    async def _pause(self, failures: int, answer: Answer) -> None:
        """Wait before another try; a change of state cuts the wait short, a Retry-After not."""
        backoff_s = self._timing.backoff_s(failures)
        if answer.retry_after_s is not None:
            left_s = self._closing_left_s()
            await asyncio.sleep(min(max(answer.retry_after_s, backoff_s), max(left_s, 0.0)))
        else:
            await self._changed_within(min(backoff_s, self._closing_left_s()))

    async def _changed_within(self, seconds: float) -> None:
        # No `wait_for`: before Python 3.12 it can lose a cancellation.
        timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()

    def _closing_left_s(self) -> float:
        if self._close_by is None:
            return float("inf")
        return self._close_by - time.monotonic()

    def _stop(self, said: SaidState, answer: Answer) -> None:
        if answer.verdict is Verdict.REFUSED:
            logger.warning(
                "greenroom refuses this agent's token (%s): it reports no more",
                answer.why,
                extra=self._fields(),
            )
            return
        # To a `closed` it is no news.
        level = logging.DEBUG if said == "closed" else logging.INFO
        reason = f"the dispatch is over or another agent has it ({answer.why})"
        logger.log(level, "%s", reason, extra=self._fields())
        self._silence_session()
        self._set("closed")
        self._end_job(f"greenroom: {reason}")

    def _silence_session(self) -> None:
        """Close the session now: a shutdown waits up to 15 s for the entry point first."""
        if self._session is not None and self._state in ("open", "busy"):
            self._session.shutdown(drain=False)

    def _log_failure(self, failures: int, answer: Answer) -> None:
        level = logging.WARNING if failures == FAILURES_BEFORE_WARNING else logging.DEBUG
        logger.log(level, "cannot reach greenroom: %s", answer.why, extra=self._fields())

    def _fields(self) -> dict[str, str]:
        return {"dispatch_id": self._target.dispatch_id} if self._target else {}
