"""A minimal agent that says it lives.

Run it with LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of your server::

    python examples/agent.py dev

and let greenroom dispatch it: `POST /v1/dispatches {"room": "lobby", "agent": "parrot"}`.

It is a parrot: it answers every text message with the same words, so that it needs no model.
"""

from __future__ import annotations

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    ChatContext,
    ChatMessage,
    JobContext,
    StopResponse,
    cli,
    room_io,
)

from greenroom_agents import report

server = AgentServer()


class Parrot(Agent):
    """Repeats what it is told."""

    def __init__(self) -> None:
        super().__init__(instructions="Repeat what you are told.")

    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        """Answer without a model."""
        del turn_ctx
        self.session.say(new_message.text_content or "")
        raise StopResponse


# A name makes dispatch explicit: greenroom alone decides which room gets this agent.
@server.rtc_session(agent_name="parrot")
async def entrypoint(ctx: JobContext) -> None:
    """Serve one room."""
    session: AgentSession[None] = AgentSession()
    report(ctx, session)
    await session.start(
        Parrot(),
        room=ctx.room,
        room_options=room_io.RoomOptions(audio_input=False, audio_output=False),
    )


if __name__ == "__main__":
    cli.run_app(server)
