"""Which jobs are reported, and where the token may be seen."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from greenroom_agents import report
from greenroom_agents._alive import BadAttributesError, Target
from greenroom_agents._reporter import start

from .conftest import BRISK
from .framework import Job, agent, attributes, session
from .greenroom import DISPATCH_ID, TOKEN, Greenroom, status


async def test_a_job_of_another_dispatcher_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Said at debug; no task, no callback, no end of the job."""
    caplog.set_level(logging.DEBUG, "greenroom_agents")
    job = Job({"lk.simulator.dispatch": "{}"})
    async with session() as followed:
        reporter = report(job.ctx, followed)
        await followed.start(agent())
        await followed.aclose()
        reporter.open()
        reporter.close()
        await reporter.aclose()
    assert not reporter.reporting
    assert job.reasons == []
    assert job.ctx._shutdown_callbacks == []
    said = [r.levelno for r in caplog.records if r.name == "greenroom_agents"]
    assert said == [logging.DEBUG]


@pytest.mark.parametrize(
    "broken",
    [
        {"greenroom.token": ""},
        {"greenroom.url": ""},
        {"greenroom.dispatch_id": ""},
        {"greenroom.url": "greenroom:8080"},
        {"greenroom.url": "ftp://greenroom"},
        {"greenroom.url": "http://"},
        {"greenroom.url": "http://greenroom:99999999"},
        {"greenroom.url": "http://[greenroom"},
        {"greenroom.url": f"http://user:{TOKEN}@greenroom"},
        {"greenroom.url": f"http://greenroom/?key={TOKEN}"},
        {"greenroom.token": f"{TOKEN}\r\nX-Evil: 1"},
        {"greenroom.token": f"{TOKEN} {TOKEN}"},
        {"greenroom.token": f"{TOKEN}é"},
    ],
    ids=lambda broken: ",".join(f"{k[10:]}={v[:24]!r}" for k, v in broken.items()),
)
async def test_broken_attributes_are_a_warning_without_the_token(
    broken: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The agent works on."""
    caplog.set_level(logging.DEBUG)
    job = Job(attributes("http://127.0.0.1:1") | broken)
    reporter = report(job.ctx)
    reporter.open()
    assert not reporter.reporting
    records = [r for r in caplog.records if r.name == "greenroom_agents"]
    assert [r.levelno for r in records] == [logging.WARNING]
    assert TOKEN not in caplog.text


def test_the_address_is_built_with_care() -> None:
    """A path in front is kept; an id cannot leave its place in the path."""
    given = attributes("https://example.com/greenroom/") | {"greenroom.dispatch_id": "../a b?c#d"}
    target = Target.from_attributes(given)
    assert target is not None
    assert str(target.alive_url) == (
        "https://example.com/greenroom/v1/dispatches/..%2Fa%20b%3Fc%23d/alive"
    )
    with pytest.raises(BadAttributesError):
        Target.from_attributes({"greenroom.dispatch_id": DISPATCH_ID})


async def test_the_token_is_in_no_log_and_no_repr(
    greenroom: Greenroom, caplog: pytest.LogCaptureFixture
) -> None:
    """Every answer there is, with all loggers at debug and asyncio in debug mode."""

    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    for last in (200, 401, 409):
        job = Job(attributes(greenroom.url))
        greenroom.answers = [status(500), cut, status(302, Location="/x"), status(last)]
        reporter = start(job.ctx, None, end_job_when_closed=True, timing=BRISK)
        reporter.open()
        heard = len(greenroom.beats)
        await greenroom.beats_to(heard + 4)
        await reporter.aclose()
        assert TOKEN not in repr(reporter)
        assert DISPATCH_ID in repr(reporter)
        assert TOKEN not in repr(reporter._target)
    assert "greenroom" in caplog.text
    assert TOKEN not in caplog.text
    for record in caplog.records:
        assert TOKEN not in repr(record.__dict__)


async def test_a_netrc_entry_does_not_take_the_tokens_place(
    greenroom: Greenroom, job: Job, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nor does a redirect carry it elsewhere."""
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETRC", str(netrc))
        greenroom.answers = [status(307, Location=f"{greenroom.url}/elsewhere")]
        reporter = start(job.ctx, None, end_job_when_closed=True, timing=BRISK)
        reporter.open()
        await greenroom.beats_to(3)
    assert {beat.authorization for beat in greenroom.beats} == {f"Bearer {TOKEN}"}
    assert {beat.path for beat in greenroom.beats} == {f"/v1/dispatches/{DISPATCH_ID}/alive"}


async def test_the_environments_proxy_is_used(
    greenroom: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And left out for what `no_proxy` names."""
    monkeypatch.setenv("http_proxy", greenroom.url)
    job = Job(attributes("http://greenroom.invalid"))
    reporter = start(job.ctx, None, end_job_when_closed=True, timing=BRISK)
    reporter.open()
    beat = await greenroom.beat("open")
    assert beat.path == f"http://greenroom.invalid/v1/dispatches/{DISPATCH_ID}/alive"

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    heard = len(greenroom.beats)
    direct = start(Job(attributes(greenroom.url)).ctx, None, end_job_when_closed=True, timing=BRISK)
    direct.busy()
    await greenroom.beat("busy", after=heard)
