"""A worker that keeps all it is told, everywhere it can, until its session is over.

Try it with a runner::

    greenroom runner --server http://localhost:8080 --pool echo --env PYTHONPATH -- \
        python3 "$PWD/clients/python/examples/echo_worker.py"

It serves HTTP on loopback, at the address that it announces:

- `POST /say` with `{"text": "…"}` keeps the text in all six stores, in a file and in `os.environ`,
- `POST /leave` says that the session is over,
- `GET /recall?phrase=…` tells which of them know the phrase,
- `GET /pid` tells the number of the process.
"""

from __future__ import annotations

import json
import os
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from greenroom_worker import ITEMS, Session, Worker

BODY_BYTES_MAX = 64 << 10

worker = Worker()

# Not in a store: a list that outlives every session, if nobody clears it.
everything: list[str] = []
worker.extend(
    "memory",
    clear=everything.clear,
    holds=lambda phrase: any(phrase in text for text in everything),
    put=everything.append,
)


def keep(session: Session, text: str) -> None:
    """Put the text wherever it goes."""
    with session.lock:
        session.conversation.append({"role": "user", "content": text})
        session.caches[text] = len(text)
        session.audio.append(text.encode())
        session.user_context["last"] = session.user_context.get("last", "") + text
        session.environment[f"SAID_{len(session.conversation)}"] = text
        session.memory.setdefault("said", []).append(text)
        os.environ[f"SAID_{len(session.conversation)}"] = text
        everything.append(text)
        with (session.directory / "said.txt").open("a") as file:
            file.write(f"{text}\n")


def recall(phrase: str) -> list[str]:
    """Name everything that knows the phrase, of this session or of an earlier one."""
    session = worker.session
    known = session.held_by(phrase) if session else []
    if any(phrase in text for text in everything):
        known.append("everything")
    if any(phrase in text for text in os.environ.values()):
        known.append("os.environ")
    return known


class Handler(BaseHTTPRequestHandler):
    """What can be asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Keep what is said, or end the session."""
        length = min(int(self.headers.get("content-length") or 0), BODY_BYTES_MAX)
        body = self.rfile.read(length)
        session = worker.session
        if session is None:
            self.answer(HTTPStatus.CONFLICT, {"error": "there is no session"})
            return
        if self.path == "/leave":
            session.release()
            self.answer(HTTPStatus.OK, {"session": session.id})
            return
        text = str(json.loads(body)["text"])
        keep(session, text)
        worker.count()
        self.answer(HTTPStatus.OK, {"session": session.id, "kept_by": list(ITEMS)})

    def do_GET(self) -> None:
        """Tell what is known."""
        url = urlsplit(self.path)
        if url.path == "/pid":
            self.answer(HTTPStatus.OK, {"pid": os.getpid(), "worker": worker.id})
            return
        phrase = parse_qs(url.query).get("phrase", [""])[0]
        worker.count()
        self.answer(HTTPStatus.OK, {"known_by": recall(phrase)})

    def answer(self, status: HTTPStatus, body: object) -> None:
        """Answer with JSON."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing: what is said here is the session's."""


@worker.on_assign
def hear(session: Session) -> None:
    """Keep what comes with the session, too."""
    if session.metadata:
        session.user_context["metadata"] = session.metadata
        everything.append(session.metadata)


@worker.on_start
def serve() -> str:
    """Listen, and say where."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


if __name__ == "__main__":
    worker.run()
