"""The worker's side of the protocol, spoken with over pipes as its runner speaks."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from greenroom_worker import ITEMS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PATIENCE_S = 20
CANARY = "canary-of-a-test"
ALL_CLEAR = dict.fromkeys(ITEMS, True)


class Played:
    """A runner with one worker."""

    def __init__(self, program: Path, directory: Path) -> None:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "KEPT": "from before"}
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, str(program)],
            cwd=directory,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def say(self, kind: str, **fields: Any) -> None:
        """Send a frame."""
        self.send(json.dumps({"type": kind, **fields}).encode())

    def send(self, body: bytes) -> None:
        """Send what may be no frame at all."""
        assert self.process.stdin
        self.process.stdin.write(struct.pack(">I", len(body)) + body)
        self.process.stdin.flush()

    def heard(self) -> dict[str, Any]:
        """Read a frame."""
        assert self.process.stdout
        (length,) = struct.unpack(">I", self.process.stdout.read(4))
        frame: dict[str, Any] = json.loads(self.process.stdout.read(length))
        return frame

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a frame and read its answer."""
        self.say(kind, seq=7, **fields)
        answer = self.heard()
        assert answer["seq"] == 7
        return answer

    def greet(self) -> dict[str, Any]:
        """Say hello, and read that it is ready."""
        assert self.heard()["protocol"] == 1
        self.say("hello", protocol=1, worker="wrk_0_a", pool="echo", health_seconds=30)
        ready = self.heard()
        assert ready["type"] == "ready"
        return ready

    def assign(self, session: str = "a") -> dict[str, Any]:
        """Give it a session."""
        fields = {"lease": f"lse_{session}", "session": session, "canary": CANARY}
        environment = {"SECRET": f"secret-of-{session}", "KEPT": "changed"}
        return self.ask("assign", **fields, environment=environment, metadata="{}")

    def end(self) -> tuple[int, str]:
        """Close its input; how it ended, and what it wrote to its log."""
        assert self.process.stdin
        assert self.process.stderr
        self.process.stdin.close()
        log = self.process.stderr.read().decode()
        return self.process.wait(PATIENCE_S), log


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Any]:
    """Play a runner for a program, or for the example."""
    played: list[Played] = []

    def start(text: str | None = None) -> Played:
        program = ROOT / "examples" / "echo_worker.py"
        if text is not None:
            program = tmp_path / "worker.py"
            start_of_all = "from greenroom_worker import *\nworker = Worker()\n"
            program.write_text(f"{start_of_all}{text}\nworker.run()\n")
        directory = tmp_path / f"own-{len(played)}"
        directory.mkdir()
        played.append(Played(program, directory))
        return played[-1]

    yield start
    for one in played:
        one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stdout, one.process.stderr):
            assert pipe
            pipe.close()


def call(url: str, body: object = None) -> Any:
    """Ask the example something."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=PATIENCE_S) as answer:  # noqa: S310
        return json.load(answer)


def test_what_a_session_told_is_in_no_later_one(play: Any) -> None:
    """The example keeps all it is told, and forgets it."""
    worker = play()
    at = worker.greet()["endpoint"]
    for session in range(3):
        assert worker.assign(f"s{session}")["type"] == "assigned"
        known = [call(f"{at}/recall?phrase=phrase-{told}.")["known_by"] for told in range(session)]
        assert not any(known)
        call(f"{at}/say", {"text": f"phrase-{session}."})
        known_by = call(f"{at}/recall?phrase=phrase-{session}.")["known_by"]
        assert known_by == [*ITEMS, "everything", "os.environ"]
        assert worker.ask("check", canary=CANARY)["held_by"] == list(ITEMS)
        assert worker.ask("reset", items=list(ITEMS))["items"] == ALL_CLEAR
        assert worker.ask("check", canary=CANARY)["held_by"] == []
        assert call(f"{at}/recall?phrase=phrase-{session}.")["known_by"] == []
        assert list(Path(f"/proc/{worker.process.pid}/cwd").iterdir()) == []
    worker.say("drain")
    assert worker.end()[0] == 0


def test_the_environment_is_as_before_whatever_changed_it(play: Any) -> None:
    """Variables of the session, and those that its worker set, changed or removed."""
    worker = play(
        """
import os
@worker.on_assign
def begin(session):
    assert os.environ["KEPT"] == "changed" and session.environment["SECRET"]
    os.environ["LEFT"] = "x"
    del os.environ["PATH"]

@worker.on_health
def tell():
    names = ("KEPT", "LEFT", "SECRET", "PATH")
    return ",".join(f"{name}={os.environ.get(name)}" for name in names)
"""
    )
    worker.greet()
    before = worker.ask("health")["reason"]
    worker.assign()
    assert "LEFT=x" in worker.ask("health")["reason"]
    assert worker.ask("reset", items=["environment"])["items"] == {"environment": True}
    assert worker.ask("health")["reason"] == before


def test_a_store_that_is_not_cleared_is_told(play: Any) -> None:
    """Stores of the worker's own: one that keeps, one that fails, one that cannot be asked."""
    worker = play(
        """
kept = []
def holds(phrase):
    return any(phrase in text for text in kept)
worker.extend("memory", clear=lambda: None, holds=holds, put=kept.append)
def fails(*_):
    raise RuntimeError
worker.extend("caches", clear=fails, holds=lambda p: False)
worker.extend("audio", clear=lambda: None, holds=fails)
"""
    )
    worker.greet()
    assert worker.assign()["type"] == "assigned"
    items = worker.ask("reset", items=list(ITEMS))["items"]
    assert [item for item, clear in items.items() if not clear] == ["caches", "audio", "memory"]
    assert worker.ask("check", canary=CANARY)["held_by"] == ["audio", "memory"]


def test_what_is_kept_elsewhere_is_found_by_the_check(play: Any) -> None:
    """A file beside the session's directory, and a variable that came back after the reset."""
    worker = play(
        """
import os, pathlib
@worker.on_assign
def begin(session):
    pathlib.Path("beside.txt").write_text(session.caches["greenroom.canary"])
@worker.on_health
def again():
    os.environ["BACK"] = "canary-of-a-test"
"""
    )
    worker.greet()
    worker.assign()
    assert worker.ask("reset", items=list(ITEMS))["items"]["caches"] is False
    assert worker.ask("check", canary=CANARY)["held_by"] == ["caches"]
    worker.ask("health")
    assert worker.ask("check", canary=CANARY)["held_by"] == ["caches", "environment"]


def test_what_is_printed_goes_to_the_log_and_nobody_else_reads_a_frame(play: Any) -> None:
    """By Python, by the file descriptor, by a child; and input is at its end."""
    worker = play(
        """
import os, subprocess, sys
@worker.on_assign
def begin(session):
    print("printed")
    sys.stdout.flush()
    os.write(1, b"written\\n")
    subprocess.run(["sh", "-c", "echo from a child; cat"], check=True)
    assert sys.stdin.read() == ""
"""
    )
    worker.greet()
    assert worker.assign()["type"] == "assigned"
    code, log = worker.end()
    assert code == 0
    assert log.split("\n")[:3] == ["printed", "written", "from a child"]


def test_a_session_is_refused_with_a_reason(play: Any) -> None:
    """By the handler, by an error in it, and where there is one already."""
    worker = play(
        """
@worker.on_assign
def begin(session):
    if session.id == "a":
        raise Refused("not today")
    if session.id == "b":
        raise KeyError(session.environment["SECRET"])
"""
    )
    worker.greet()
    assert worker.assign("a")["reason"] == "not today"
    assert worker.ask("reset", items=list(ITEMS))["items"] == ALL_CLEAR
    assert worker.assign("b")["reason"] == "KeyError"
    worker.ask("reset", items=list(ITEMS))
    assert worker.assign("c")["type"] == "assigned"
    assert worker.assign("d")["reason"] == "it has a session"


def test_health_counts_and_complains(play: Any) -> None:
    """What was counted is told; an error or a text is a complaint."""
    worker = play(
        """
looks = []
@worker.on_health
def look():
    looks.append(1)
    worker.count(failed=len(looks) == 1)
    if len(looks) == 2:
        raise OSError("secret")
    return "no model" if len(looks) == 3 else None
"""
    )
    worker.greet()
    assert worker.ask("health") == {"type": "healthy", "seq": 7, "requests": 1, "errors": 1}
    assert worker.ask("health")["reason"] == "OSError"
    assert worker.ask("health")["reason"] == "no model"
    assert worker.ask("health")["errors"] == 1


def test_a_session_may_end_itself_and_what_is_new_is_let_pass(play: Any) -> None:
    """`release` is a frame of its own; a frame of a newer runner has no answer."""
    worker = play(
        """
@worker.on_assign
def begin(session):
    session.release()
"""
    )
    worker.greet()
    worker.say("assign", seq=7, lease="lse_a", session="a", canary=CANARY)
    assert worker.heard() == {"type": "release", "lease": "lse_a"}
    assert worker.heard()["type"] == "assigned"
    worker.say("dance", seq=1)
    assert worker.ask("health")["type"] == "healthy"


@pytest.mark.parametrize("body", [b"hello", b"[]", b"\xff"])
def test_what_is_no_frame_ends_the_worker_and_is_not_quoted(play: Any, body: bytes) -> None:
    """Nothing can be made of what follows it."""
    worker = play("")
    worker.greet()
    worker.send(body)
    code, log = worker.end()
    assert code == 1
    assert "FrameError" in log
    assert "hello" not in log


def test_it_ends_with_its_runner(play: Any) -> None:
    """The input's end is the runner's."""
    worker = play("@worker.on_drain\ndef finish():\n    print('finished')")
    worker.greet()
    assert worker.end() == (0, "finished\n")
