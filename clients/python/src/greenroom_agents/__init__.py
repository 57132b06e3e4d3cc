"""LiveKit agents that say they live.

Three lines in an agent's entry point::

    from greenroom_agents import report

    async def entrypoint(ctx: JobContext) -> None:
        session = AgentSession(...)
        report(ctx, session)
        await session.start(...)
"""

from ._reporter import Reporter, State, report

__all__ = ["Reporter", "State", "report"]
