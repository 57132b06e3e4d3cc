"""Workers of a pool: `greenroom runner` starts them, and they serve one session after another.

A whole worker::

    from greenroom_worker import Session, Worker

    worker = Worker()

    @worker.on_assign
    def begin(session: Session) -> None:
        session.conversation.append("hello")

    worker.run()

What a session leaves goes into its six stores; a reset clears them and shows that it has. The
standard library is all that is needed, and Python 3.9.
"""

from ._session import ITEMS, Session
from ._worker import Refused, Worker

__all__ = ["ITEMS", "Refused", "Session", "Worker"]
