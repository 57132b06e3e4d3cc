"""The framework's own parts, run without a LiveKit server and without a model.

Everything here is livekit-agents as installed, but for what lies beyond the process: the
model, and the room's connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

from livekit import rtc
from livekit.agents import Agent, AgentSession, JobContext, llm
from livekit.agents.ipc.job_proc_lazy_main import _JobProc
from livekit.agents.ipc.mock_room import create_mock_room
from livekit.agents.ipc.proto import InitializeRequest, ShutdownRequest, StartJobRequest
from livekit.agents.job import JobAcceptArguments, JobExecutorType, JobProcess, RunningJobInfo
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN
from livekit.agents.utils.aio import Chan
from livekit.protocol import agent as agent_proto
from livekit.protocol import models

from .greenroom import DISPATCH_ID, TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


def attributes(url: str) -> dict[str, str]:
    """Give what greenroom puts on a dispatch."""
    return {
        "greenroom.dispatch_id": DISPATCH_ID,
        "greenroom.url": url,
        "greenroom.token": TOKEN,
    }


def job_info(job_attributes: dict[str, str]) -> RunningJobInfo:
    """Describe a job as the worker does to the process that runs it."""
    return RunningJobInfo(
        accept_arguments=JobAcceptArguments(identity="agent", name="", metadata=""),
        job=agent_proto.Job(
            id="AJ_test",
            room=models.Room(name="lobby", sid="RM_test"),
            type=agent_proto.JobType.JT_ROOM,
            attributes=job_attributes,
        ),
        url="",
        token="",
        worker_id="AW_test",
        fake_job=True,
    )


class Job:
    """A real `JobContext`, and the signal that its job was told to end."""

    def __init__(self, job_attributes: dict[str, str]) -> None:
        self.reasons: list[str] = []
        self.ended = asyncio.Event()
        self.ctx = JobContext(
            proc=JobProcess(
                executor_type=JobExecutorType.THREAD, user_arguments=None, http_proxy=None
            ),
            info=job_info(job_attributes),
            room=rtc.Room(),
            on_connect=lambda: None,
            on_shutdown=self._on_shutdown,
            inference_executor=NoInference(),
        )
        self.ctx._tempdir.cleanup()

    def _on_shutdown(self, reason: str) -> None:
        self.reasons.append(reason)
        self.ended.set()

    async def shut_down(self, reason: str = "test") -> None:
        """Run the shutdown callbacks, as the framework does last."""
        await asyncio.gather(*(callback(reason) for callback in self.ctx._shutdown_callbacks))


class NoInference:
    """No local models."""

    async def do_inference(self, method: str, data: bytes) -> bytes | None:
        """Refuse."""
        raise NotImplementedError


class HeldLLM(llm.LLM[Any]):
    """Thinks until `gate` opens, then says one word."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: Any = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: Any = NOT_GIVEN,
        tool_choice: Any = NOT_GIVEN,
        extra_kwargs: Any = NOT_GIVEN,
    ) -> llm.LLMStream:
        """Begin to think."""
        del parallel_tool_calls, tool_choice, extra_kwargs
        return _HeldStream(
            self, self.gate, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options
        )


class _HeldStream(llm.LLMStream):
    def __init__(self, model: HeldLLM, gate: asyncio.Event, **kwargs: Any) -> None:
        super().__init__(model, **kwargs)
        self._gate = gate

    async def _run(self) -> None:
        await self._gate.wait()
        delta = llm.ChoiceDelta(role="assistant", content="Hello.")
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


def agent() -> Agent:
    """Make an agent of the plainest kind."""
    return Agent(instructions="Be brief.")


@contextlib.asynccontextmanager
async def session(model: llm.LLM[Any] | None = None) -> AsyncIterator[AgentSession[None]]:
    """Make a text-only session, and close it at the end."""
    made: AgentSession[None] = AgentSession(llm=model or HeldLLM())
    try:
        yield made
    finally:
        await made.aclose()


class Room:
    """The framework's stand-in for a room, with a real emitter of events and one person."""

    def __init__(self) -> None:
        self.events: rtc.EventEmitter[str] = rtc.EventEmitter()
        create_mock_room.cache_clear()
        self.room: Any = create_mock_room()
        self.room.on = self.events.on
        self.room.off = self.events.off
        self.person: Any = next(iter(self.room.remote_participants.values()))
        self.room.local_participant.set_attributes = AsyncMock()

    def person_leaves(self) -> None:
        """Let the person close the page."""
        self.person.disconnect_reason = rtc.DisconnectReason.CLIENT_INITIATED
        self.events.emit("participant_disconnected", self.person)


class Runner:
    """The framework's own job runner (`_JobProc`), in this process instead of one of its own."""

    def __init__(self, entrypoint: Callable[[JobContext], Awaitable[None]]) -> None:
        self._proc = _JobProc(
            lambda _: None,
            entrypoint,
            None,
            session_end_timeout=10.0,
            executor_type=JobExecutorType.THREAD,
        )
        self._messages: Chan[Any] = Chan()
        self._client = AsyncMock()
        self._proc.initialize(InitializeRequest(), self._client)

    def start(self, job_attributes: dict[str, str]) -> asyncio.Task[None]:
        """Start the job; the task ends with it."""
        request = StartJobRequest()
        request.running_job = job_info(job_attributes)
        self._messages.send_nowait(request)
        return asyncio.create_task(self._proc.entrypoint(self._messages))

    def shut_down(self) -> None:
        """Ask the job to end, as a worker does when its dispatch is deleted."""
        self._messages.send_nowait(ShutdownRequest())
