"""The whole way, in the framework's own job runner, with the shipped times."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livekit.agents import AgentSession, CloseEvent, JobContext, room_io

from greenroom_agents import report

from .framework import HeldLLM, Room, Runner, agent, attributes
from .greenroom import PATIENCE_S, status

if TYPE_CHECKING:
    from .greenroom import Greenroom

TEXT_ONLY = room_io.RoomOptions(audio_input=False, audio_output=False, text_output=False)


async def test_a_person_leaves_and_the_deaf_agent_goes(greenroom: Greenroom) -> None:
    """LiveKit's default: the session ends with its person, the job does not. Here it does."""
    room = Room()
    reasons: list[str] = []

    async def entrypoint(ctx: JobContext) -> None:
        session: AgentSession[None] = AgentSession(llm=HeldLLM())
        session.on("close", lambda event: reasons.append(event.reason.value))
        report(ctx, session)
        await session.start(agent(), room=room.room, room_options=TEXT_ONLY)

    job = Runner(entrypoint).start(attributes(greenroom.url))
    await greenroom.beats_to(2)
    assert greenroom.states == ["open", "open"]
    assert 1.8 < greenroom.beats[1].at - greenroom.beats[0].at < 3.5, "every 2 s"

    room.person_leaves()
    await greenroom.beat("closed")
    await asyncio.wait_for(job, PATIENCE_S)
    assert reasons == ["participant_disconnected"]
    assert greenroom.states[-1] == "closed"


async def test_without_the_reporter_the_deaf_agent_stays(greenroom: Greenroom) -> None:
    """What the framework does by itself: should it change, this says so."""
    room = Room()
    closed = asyncio.Event()

    async def entrypoint(ctx: JobContext) -> None:
        del ctx
        session: AgentSession[None] = AgentSession(llm=HeldLLM())
        session.on("close", lambda _: closed.set())
        await session.start(agent(), room=room.room, room_options=TEXT_ONLY)
        room.person_leaves()

    runner = Runner(entrypoint)
    job = runner.start(attributes(greenroom.url))
    await asyncio.wait_for(closed.wait(), PATIENCE_S)
    done, _ = await asyncio.wait({job}, timeout=0.5)
    assert not done, "the session is over, the job is not"
    runner.shut_down()
    await asyncio.wait_for(job, PATIENCE_S)


async def test_a_job_that_is_shut_down_says_closed(greenroom: Greenroom) -> None:
    """The dispatch was deleted, or the worker stops."""
    closes: list[CloseEvent] = []

    async def entrypoint(ctx: JobContext) -> None:
        session: AgentSession[None] = AgentSession(llm=HeldLLM())
        session.on("close", closes.append)
        report(ctx, session)
        await session.start(agent())

    runner = Runner(entrypoint)
    job = runner.start(attributes(greenroom.url))
    await greenroom.beat("open")
    greenroom.answer = status(410)
    runner.shut_down()
    await asyncio.wait_for(job, PATIENCE_S)
    assert greenroom.states == ["open", "closed"]
    assert len(closes) == 1


async def test_an_entry_point_that_raises_says_closed(greenroom: Greenroom) -> None:
    """Its session never came up."""

    async def entrypoint(ctx: JobContext) -> None:
        report(ctx, AgentSession(llm=HeldLLM()))
        raise RuntimeError("no model")

    job = Runner(entrypoint).start(attributes(greenroom.url))
    await asyncio.wait_for(job, PATIENCE_S)
    assert greenroom.states == ["closed"]


async def test_a_replaced_agent_falls_silent_before_its_entry_point_ends(
    greenroom: Greenroom,
) -> None:
    """LiveKit waits 15 s for an entry point that lingers; nobody must hear two agents."""
    silent = asyncio.Event()
    linger = asyncio.Event()

    async def entrypoint(ctx: JobContext) -> None:
        session: AgentSession[None] = AgentSession(llm=HeldLLM())
        session.on("close", lambda _: silent.set())
        report(ctx, session)
        await session.start(agent())
        await linger.wait()

    job = Runner(entrypoint).start(attributes(greenroom.url))
    await greenroom.beat("open")
    greenroom.answer = status(409)
    await asyncio.wait_for(silent.wait(), PATIENCE_S)
    assert not job.done()
    linger.set()
    await asyncio.wait_for(job, PATIENCE_S)
    assert "closed" not in greenroom.states
