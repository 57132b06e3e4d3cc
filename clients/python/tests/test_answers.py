"""What each of greenroom's answers does to the agent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from greenroom_agents._reporter import Reporter, start

from .conftest import BRISK, SELDOM
from .framework import HeldLLM, Job, agent, session
from .greenroom import PATIENCE_S, Greenroom, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenroom_agents._timing import Timing


UNHURRIED = replace(BRISK, beat_s=5.0)
"""Beats far enough apart to tell a new try from a beat, on a busy machine too."""


def opened(job: Job, timing: Timing = BRISK) -> Reporter:
    """Report an agent that is up, by hand."""
    reporter = start(job.ctx, None, end_job_when_closed=True, timing=timing)
    reporter.open()
    return reporter


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""

    async def look() -> None:
        while not condition():  # noqa: ASYNC110 - a log line has no event to wait for
            await asyncio.sleep(0.005)

    await asyncio.wait_for(look(), PATIENCE_S)


@pytest.mark.parametrize("code", [409, 410])
async def test_a_replaced_agent_ends(greenroom: Greenroom, job: Job, code: int) -> None:
    """Its session closes at once, whatever the entry point does; nothing more is said."""
    async with session() as followed:
        closed = asyncio.Event()
        followed.on("close", lambda _: closed.set())
        reporter = start(job.ctx, followed, end_job_when_closed=False, timing=BRISK)
        await followed.start(agent())
        await greenroom.beat("open")

        greenroom.answer = status(code)
        await asyncio.wait_for(job.ended.wait(), PATIENCE_S)
        await asyncio.wait_for(closed.wait(), PATIENCE_S)
        assert len(job.reasons) == 1
        assert f"status {code}" in job.reasons[0]
        assert reporter.state == "closed"

        said = len(greenroom.beats)
        await asyncio.sleep(BRISK.beat_s * 3)
        assert len(greenroom.beats) == said
        assert "closed" not in greenroom.states


async def test_a_404_ends_nobody(greenroom: Greenroom, job: Job) -> None:
    """It comes from a proxy, or from a greenroom whose Redis came back empty."""

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="<h1>default backend</h1>", content_type="text/html")

    greenroom.answers = [page, status(404), page]
    opened(job)
    await greenroom.beats_to(5)
    assert job.reasons == []


@pytest.mark.parametrize("code", [401, 403])
async def test_a_refused_token_stops_the_reports_only(
    greenroom: Greenroom, job: Job, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """Said once, as a warning; a session that closes still ends its job."""
    greenroom.answer = status(code)
    async with session() as followed:
        reporter = start(job.ctx, followed, end_job_when_closed=True, timing=BRISK)
        await followed.start(agent())
        await until(lambda: not reporter.reporting)
        await asyncio.sleep(BRISK.beat_s * 3)
        assert greenroom.states == ["open"]
        assert job.reasons == []
        warnings = [
            r
            for r in caplog.records
            if r.name == "greenroom_agents" and r.levelno >= logging.WARNING
        ]
        assert len(warnings) == 1

        await followed.aclose()
        assert len(job.reasons) == 1


@pytest.mark.parametrize("code", [302, 400, 429, 500, 502, 503])
async def test_passing_trouble_is_tried_again_sooner_than_a_beat(
    greenroom: Greenroom, job: Job, code: int
) -> None:
    """The agent goes on, and greenroom hears of it well within its 5 s."""
    greenroom.answers = [status(code), status(code)]
    opened(job, UNHURRIED)
    await greenroom.beats_to(3)
    assert greenroom.beats[2].at - greenroom.beats[0].at < UNHURRIED.beat_s / 2
    assert job.reasons == []


async def test_retry_after_is_kept_even_when_the_state_changes(
    greenroom: Greenroom, job: Job
) -> None:
    """Too fast is too fast; the latest state goes out when the time is over."""
    greenroom.answers = [status(429, Retry_After="0"), status(429, Retry_After="60")]
    reporter = opened(job, UNHURRIED)
    await greenroom.beats_to(2)
    reporter.busy()
    await greenroom.beats_to(3)
    assert greenroom.states[:3] == ["open", "open", "busy"]
    first, second, third = (beat.at for beat in greenroom.beats[:3])
    assert 0.005 < second - first < UNHURRIED.beat_s / 2, "zero is no leave to hammer"
    bound_s = BRISK.retry_after_max_s
    assert bound_s * 0.9 < third - second < bound_s + 1.0, "60 s are bounded"


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        ("1", 0.5, 0.5),
        (format_datetime(datetime.now(timezone.utc) + timedelta(hours=1)), 0.5, 0.5),
        (format_datetime(datetime.now(timezone.utc) - timedelta(hours=1)), 0.0, 0.0),
        ("soon", None, None),
        ("-1", None, None),
        ("²", None, None),
        ("9" * 400, 0.5, 0.5),
    ],
)
async def test_retry_after_in_all_its_forms(
    greenroom: Greenroom, job: Job, header: str, least_s: float | None, most_s: float | None
) -> None:
    """Seconds, a date, or nonsense."""
    del greenroom
    from greenroom_agents._alive import Alive, Target  # noqa: PLC0415

    target = Target.from_attributes(job.ctx.job.attributes)
    assert target is not None
    alive = Alive(target, retry_after_max_s=0.5)
    wanted_s = alive._retry_after_s(header)
    await alive.aclose()
    if least_s is None or most_s is None:
        assert wanted_s is None
    else:
        assert wanted_s is not None
        assert least_s <= wanted_s <= most_s


async def test_greenroom_goes_away_and_comes_back(
    greenroom: Greenroom, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections refused for a while: one warning, one word when it is back."""
    caplog.set_level(logging.DEBUG, "greenroom_agents")
    reporter = opened(job)
    await greenroom.beat("open")
    await greenroom.down()

    def tries() -> int:
        return sum("cannot reach" in r.getMessage() for r in caplog.records)

    await until(lambda: tries() >= 4)
    reporter.busy()
    heard = len(greenroom.beats)
    await greenroom.up()
    await greenroom.beat("busy", after=heard)
    assert greenroom.states[heard:][0] == "busy", "the latest state, not a backlog"
    await until(lambda: any("answers again" in r.getMessage() for r in caplog.records))
    levels = [r.levelno for r in caplog.records if "cannot reach" in r.getMessage()]
    assert levels.count(logging.WARNING) == 1
    assert job.reasons == []
    assert reporter.reporting


async def test_a_connection_cut_in_the_middle(greenroom: Greenroom, job: Job) -> None:
    """No answer at all, not even a bad one."""

    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    greenroom.answers = [cut]
    opened(job)
    await greenroom.beats_to(3)
    assert job.reasons == []


async def test_a_slow_greenroom_does_not_hold_the_agent_up(greenroom: Greenroom, job: Job) -> None:
    """A whole turn of a real session passes while one beat waits for its answer."""
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await hold.wait()
        return web.json_response({})

    greenroom.answer = slow
    model = HeldLLM()
    model.gate.set()
    async with session(model) as followed:
        start(job.ctx, followed, end_job_when_closed=True, timing=SELDOM)
        await followed.start(agent())
        await greenroom.beat("open")
        await asyncio.wait_for(followed.run(user_input="hi"), SELDOM.request_s / 2)
        assert greenroom.states == ["open"], "one at a time: order is kept"
    hold.set()


async def test_a_request_takes_no_longer_than_its_time(greenroom: Greenroom, job: Job) -> None:
    """A server that never answers is asked again."""

    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    greenroom.answers = [never]
    opened(job)
    await greenroom.beats_to(2)
    gap_s = greenroom.beats[1].at - greenroom.beats[0].at
    assert BRISK.request_s * 0.9 < gap_s < BRISK.request_s + BRISK.backoff_first_s + 1.0


async def test_closed_is_said_until_it_is_acknowledged(greenroom: Greenroom, job: Job) -> None:
    """And nothing else any more."""
    reporter = opened(job)
    await greenroom.beat("open")
    greenroom.answers = [status(503), status(503), status(503)]
    await reporter.aclose()
    assert greenroom.states[-4:] == ["closed"] * 4
    assert greenroom.answers == []


async def test_closing_is_bounded(greenroom: Greenroom, job: Job) -> None:
    """A greenroom that is away does not keep a job's process from ending."""
    reporter = opened(job)
    await greenroom.beat("open")
    await greenroom.down()
    began = time.monotonic()
    await asyncio.wait_for(reporter.aclose(), PATIENCE_S)
    assert BRISK.closing_s * 0.9 < time.monotonic() - began < BRISK.closing_s + 1.0
    assert not reporter.reporting


async def test_a_late_beat_goes_at_once_and_alone(greenroom: Greenroom, job: Job) -> None:
    """The agent's code blocked the loop for three beats: one is sent, not three."""
    timing = replace(BRISK, beat_s=0.5)
    opened(job, timing)
    await greenroom.beats_to(2)
    time.sleep(timing.beat_s * 3)  # noqa: ASYNC251 - the stall is the point
    over = time.monotonic()
    await greenroom.beats_to(4)
    late, following = greenroom.beats[2:4]
    assert late.at - over < timing.beat_s * 0.7
    assert following.at - late.at > timing.beat_s * 0.5


async def test_cancelling_the_wait_leaves_the_report_going(greenroom: Greenroom, job: Job) -> None:
    """Whoever waits for `aclose` may give up; `closed` still goes out."""
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await hold.wait()
        return web.json_response({})

    reporter = opened(job)
    await greenroom.beat("open")
    greenroom.answer = slow
    closing = asyncio.create_task(reporter.aclose())
    await greenroom.beat("closed")
    closing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    assert reporter.reporting
    hold.set()
    await until(lambda: not reporter.reporting)


async def test_a_cancellation_is_never_lost(greenroom: Greenroom, job: Job) -> None:
    """A loop that is torn down cancels its tasks once, be it in the very moment of a change."""
    reporter = start(job.ctx, None, end_job_when_closed=True, timing=SELDOM)
    reporter.open()
    await greenroom.beat("open")
    await asyncio.sleep(0.05)
    task = reporter._task
    assert task is not None
    reporter.busy()
    await asyncio.sleep(0)  # The wait is over, but whoever waited does not know yet.
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1.0)
    assert done
    assert task.cancelled()
