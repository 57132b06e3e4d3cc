"""What every test has: a greenroom, a job it dispatched, and short times."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from greenroom_agents._timing import Timing

from .framework import Job, attributes
from .greenroom import Greenroom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BRISK = Timing(
    beat_s=0.1,
    request_s=0.3,
    backoff_first_s=0.02,
    backoff_max_s=0.08,
    retry_after_max_s=0.5,
    closing_s=0.6,
)
"""The shipped times, shrunk."""

SELDOM = Timing(beat_s=3600.0)
"""No beat but at a change: what is heard was caused by a change."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def greenroom() -> AsyncIterator[Greenroom]:
    """Run a greenroom, and see that nothing of the reporter's is left over."""
    played = Greenroom()
    await played.up()
    yield played
    await played.down()
    for task in asyncio.all_tasks():
        if task.get_name() == "greenroom_alive":
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def job(greenroom: Greenroom) -> Job:
    """Make a job that greenroom dispatched."""
    return Job(attributes(greenroom.url))
