"""greenroom, played on loopback: hears beats over real HTTP and answers as told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

DISPATCH_ID = "dsp_0_0192f0c1"
TOKEN = "canary-3f9a1c7e"  # noqa: S105 - looked for in the logs
PATIENCE_S = 10.0

Responder = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Beat:
    """One report, as it arrived."""

    state: str
    at: float
    path: str
    authorization: str


def status(code: int, **headers: str) -> Responder:
    """Answer with a status, as greenroom does: errors are problem documents."""

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"status": code},
            status=code,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            content_type="application/json" if code < 300 else "application/problem+json",
        )

    return respond


@dataclass
class Greenroom:
    """Hears beats; `answer` is what it says, `answers` what it says first, one by one."""

    answer: Responder = field(default_factory=lambda: status(200))
    answers: list[Responder] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    port: int = 0
    _heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def states(self) -> list[str]:
        """What was said, in order."""
        return [beat.state for beat in self.beats]

    async def up(self) -> None:
        """Listen: on a free port at first, on the same one later."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._hear)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.port = server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Go away, connections and all."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def beat(self, state: str | None = None, *, after: int = 0) -> Beat:
        """Wait for a beat (with this state, if one is given) beyond the first `after` ones."""

        def found() -> Beat | None:
            wanted = (b for b in self.beats[after:] if state in (None, b.state))
            return next(wanted, None)

        async with self._heard:
            await asyncio.wait_for(self._heard.wait_for(lambda: found() is not None), PATIENCE_S)
            beat = found()
            assert beat is not None
            return beat

    async def beats_to(self, count: int) -> None:
        """Wait until so many beats have come in all."""
        await self.beat(after=count - 1)

    async def _hear(self, request: web.Request) -> web.StreamResponse:
        at = time.monotonic()
        said = json.loads(await request.read())
        assert list(said) == ["state"], "greenroom refuses unknown fields"
        assert request.method == "POST"
        async with self._heard:
            self.beats.append(
                Beat(said["state"], at, request.raw_path, request.headers["Authorization"])
            )
            responder = self.answers.pop(0) if self.answers else self.answer
            self._heard.notify_all()
        return await responder(request)
