"""A real `AgentSession` is followed through its life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from greenroom_agents._reporter import Reporter, start

from .conftest import BRISK, SELDOM
from .framework import HeldLLM, Job, agent, session
from .greenroom import DISPATCH_ID, TOKEN, Greenroom

if TYPE_CHECKING:
    from livekit.agents.voice.run_result import RunResult


def state_of(reporter: Reporter) -> str:
    """Read the state as a plain word: it changes behind the type checker's back."""
    return reporter.state


async def test_says_nothing_before_the_session_is_up_then_open(
    greenroom: Greenroom, job: Job
) -> None:
    """A job that hangs before its session must not look alive."""
    async with session() as followed:
        reporter = start(job.ctx, followed, end_job_when_closed=True, timing=BRISK)
        await asyncio.sleep(BRISK.beat_s * 3)
        assert greenroom.beats == []
        assert state_of(reporter) == "starting"

        await followed.start(agent())
        beat = await greenroom.beat()
        assert beat.state == "open"
        assert beat.path == f"/v1/dispatches/{DISPATCH_ID}/alive"
        assert beat.authorization == f"Bearer {TOKEN}"


async def test_a_session_that_is_up_already_is_open(greenroom: Greenroom, job: Job) -> None:
    """`report` may come after `start`."""
    async with session() as followed:
        await followed.start(agent())
        start(job.ctx, followed, end_job_when_closed=True, timing=SELDOM)
        await greenroom.beat("open")


async def test_beats_while_open(greenroom: Greenroom, job: Job) -> None:
    """It goes on saying it."""
    async with session() as followed:
        start(job.ctx, followed, end_job_when_closed=True, timing=BRISK)
        await followed.start(agent())
        await greenroom.beats_to(8)
        assert greenroom.states[:8] == ["open"] * 8
        # Not as fast as it can; on a busy machine single beats may arrive in a heap.
        assert greenroom.beats[7].at - greenroom.beats[0].at > BRISK.beat_s * 2


async def test_busy_while_it_thinks_and_speaks(greenroom: Greenroom, job: Job) -> None:
    """A change is said at once, and only a change: the beat is an hour here."""
    model = HeldLLM()
    async with session(model) as followed:
        reporter = start(job.ctx, followed, end_job_when_closed=True, timing=SELDOM)
        await followed.start(agent())
        await greenroom.beat("open")

        run: RunResult[None] = followed.run(user_input="hi")
        await greenroom.beat("busy")
        assert state_of(reporter) == "busy"

        model.gate.set()
        await run
        await greenroom.beats_to(3)
        assert greenroom.states == ["open", "busy", "open"]


async def test_a_closed_session_is_said_and_ends_the_job(greenroom: Greenroom, job: Job) -> None:
    """The deaf agent: said once, acknowledged, and out of the room."""
    async with session() as followed:
        reporter = start(job.ctx, followed, end_job_when_closed=True, timing=BRISK)
        await followed.start(agent())
        await greenroom.beat("open")

        await followed.aclose()
        await greenroom.beat("closed")
        await reporter.aclose()
        assert state_of(reporter) == "closed"
        assert not reporter.reporting
        assert job.reasons == ["greenroom: session closed: user_initiated"]
        assert greenroom.states.count("closed") == 1
        assert greenroom.states[-1] == "closed"


async def test_the_job_may_outlive_its_session(greenroom: Greenroom, job: Job) -> None:
    """Asked to, it says `closed` and leaves the job alone; `closed` stays."""
    async with session() as followed:
        reporter = start(job.ctx, followed, end_job_when_closed=False, timing=BRISK)
        await followed.start(agent())
        await greenroom.beat("open")
        await followed.aclose()
        await reporter.aclose()
        assert job.reasons == []

        await followed.start(agent())
        assert state_of(reporter) == "closed"
        await asyncio.sleep(BRISK.beat_s * 3)
        assert greenroom.states[-1] == "closed"


async def test_a_job_that_ends_before_its_session_is_up_says_closed(
    greenroom: Greenroom, job: Job
) -> None:
    """The entry point raised, say: greenroom need not wait for its join deadline."""
    async with session() as followed:
        start(job.ctx, followed, end_job_when_closed=True, timing=SELDOM)
        await job.shut_down("job crashed")
        assert greenroom.states == ["closed"]
        assert job.reasons == [], "a job that ends need not be ended"


async def test_without_a_session_by_hand(greenroom: Greenroom, job: Job) -> None:
    """For agents that do not use `AgentSession`."""
    reporter = start(job.ctx, None, end_job_when_closed=True, timing=SELDOM)
    assert state_of(reporter) == "starting"
    reporter.open()
    await greenroom.beat("open")
    reporter.busy()
    await greenroom.beat("busy")
    reporter.open()
    await greenroom.beats_to(3)
    await reporter.aclose()
    reporter.open()
    assert state_of(reporter) == "closed"
    assert greenroom.states == ["open", "busy", "open", "closed"]
    assert job.reasons == ["greenroom: closed by the agent"]
