"""The worker: reads what its runner says, and answers.

    hello ── on_start ── ready ──┬── assign ── on_assign ──▶ assigned, or refused
                                 ├── reset ─── on_reset, then every store ──▶ reset_done
                                 ├── check ──▶ checked
                                 ├── health ── on_health ──▶ healthy, or unhealthy
                                 └── drain, or the runner is gone ── on_drain ──▶ run() returns

Handlers run one after the other, in the thread that called `run`. What takes long belongs into
threads of the worker's own: while a handler runs, nothing is answered.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ._frames import PROTOCOL, Pipe
from ._session import ITEMS, Extension, Session

logger = logging.getLogger("greenroom_worker")

REASON_CHARS_MAX = 200

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Refused(Exception):  # noqa: N818 - what a handler says, not what went wrong
    """Raised by `on_assign`: this session cannot be served, and why."""


class Worker:
    """A worker of a pool."""

    def __init__(self) -> None:
        self.id = ""
        self.pool = ""
        self.health_seconds = 0
        self._session: Session | None = None
        self._extensions: list[Extension] = []
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._pipe: Pipe | None = None
        self._counting = threading.Lock()
        self._requests = 0
        self._errors = 0

    @property
    def session(self) -> Session | None:
        """The session that is being served."""
        session = self._session
        return None if session is None or session.is_over else session

    def on_start(self, handler: Handler) -> Handler:
        """Load what has to be loaded; may return the address at which sessions reach the worker."""
        return self._on("start", handler)

    def on_assign(self, handler: Handler) -> Handler:
        """Begin a session; gets it. Raise `Refused` where it cannot be served."""
        return self._on("assign", handler)

    def on_reset(self, handler: Handler) -> Handler:
        """Forget what is not in a store; gets the session, before its stores are cleared."""
        return self._on("reset", handler)

    def on_health(self, handler: Handler) -> Handler:
        """Look how the worker is; raises, or returns a text, where it is not well."""
        return self._on("health", handler)

    def on_drain(self, handler: Handler) -> Handler:
        """Finish: the worker is about to end."""
        return self._on("drain", handler)

    def extend(
        self,
        item: str,
        clear: Callable[[], object],
        holds: Callable[[str], bool],
        put: Callable[[str], object] | None = None,
    ) -> None:
        """Have something else cleared and looked through with an item: a cache of a library's, say.

        `holds` tells whether a phrase is in it, `put` puts one there when a session begins.
        """
        if item not in ITEMS:
            raise ValueError(f"{item} is none of {', '.join(ITEMS)}")
        self._extensions.append(Extension(item, clear, holds, put))

    def count(self, *, failed: bool = False) -> None:
        """Count a request that was served; greenroom shows how many there were."""
        with self._counting:
            self._requests += 1
            self._errors += failed

    def run(self, pipe: Pipe | None = None) -> None:
        """Serve until the runner says to stop, or is gone."""
        self._pipe = pipe or Pipe.of_the_process()
        self._pipe.write("hello", protocol=PROTOCOL, sdk="greenroom-worker-python/1")
        hello = self._pipe.read()
        if hello is None:
            return
        self.id, self.pool = str(hello.get("worker", "")), str(hello.get("pool", ""))
        self.health_seconds = int(hello.get("health_seconds", 0))
        endpoint = self._call("start")
        self._pipe.write("ready", **({} if endpoint is None else {"endpoint": str(endpoint)}))
        while (frame := self._pipe.read()) is not None and frame.get("type") != "drain":
            self._answer(frame)
        self._call("drain")

    def _answer(self, frame: dict[str, Any]) -> None:
        assert self._pipe is not None  # noqa: S101 - for the type checker
        answers: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {
            "assign": self._assign,
            "reset": self._reset,
            "check": self._check,
            "health": self._health,
        }
        # What a newer runner says is let pass.
        if answer := answers.get(str(frame.get("type"))):
            kind, fields = answer(frame)
            self._pipe.write(kind, seq=frame.get("seq"), **fields)

    def _assign(self, frame: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if self.session is not None:
            return "refused", {"reason": "it has a session"}
        lease, pipe = str(frame.get("lease", "")), self._pipe
        release = (lambda: pipe.write("release", lease=lease)) if pipe else (lambda: None)
        try:
            self._session = session = Session(frame, tuple(self._extensions), release)
            self._call("assign", session)
        except Refused as refusal:
            return "refused", {"reason": str(refusal)[:REASON_CHARS_MAX]}
        except Exception as error:
            logger.exception("a session could not be taken")
            return "refused", {"reason": type(error).__name__}
        return "assigned", {}

    def _reset(self, frame: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        items = tuple(str(item) for item in frame.get("items") or ITEMS)
        session = self._session
        if session is None:
            return "reset_done", {"items": dict.fromkeys(items, True)}
        is_well = True
        try:
            self._call("reset", session)
        except Exception:
            logger.exception("on_reset failed")
            is_well = False
        done = session.reset(items)
        if not is_well and "memory" in done:
            done["memory"] = False
        return "reset_done", {"items": done}

    def _check(self, frame: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        session = self._session
        return "checked", {"held_by": session.held_by(str(frame.get("canary"))) if session else []}

    def _health(self, _: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        try:
            complaint = self._call("health")
        except Exception as error:
            logger.exception("on_health failed")
            complaint = type(error).__name__
        if isinstance(complaint, str):
            return "unhealthy", {"reason": complaint[:REASON_CHARS_MAX]}
        with self._counting:
            return "healthy", {"requests": self._requests, "errors": self._errors}

    def _on(self, name: str, handler: Handler) -> Handler:
        self._handlers[name] = handler
        return handler

    def _call(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - what a handler returns
        handler = self._handlers.get(name)
        return handler(*arguments) if handler else None
