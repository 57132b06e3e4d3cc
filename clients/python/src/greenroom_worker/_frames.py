"""Frames: 4 bytes of length, big-endian, then one JSON object of at most 1 MiB."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
from typing import Any, BinaryIO

PROTOCOL = 1
FRAME_BYTES_MAX = 1 << 20
LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """What was received is no frame, or what is to be sent makes none."""


class Pipe:
    """The way to the runner and back."""

    def __init__(self, inward: BinaryIO, outward: BinaryIO) -> None:
        self._inward = inward
        self._outward = outward
        self._writing = threading.Lock()

    @classmethod
    def of_the_process(cls) -> Pipe:
        """Take standard input and output for frames alone.

        Whatever else the process prints goes to standard error from now on, also what libraries
        in C and child processes print; and nobody else reads a frame.
        """
        sys.stdout.flush()
        inward, outward = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(inward, outward)

    def read(self) -> dict[str, Any] | None:
        """Return the next frame; `None` when the runner has closed."""
        head = self._inward.read(LENGTH.size)
        if not head:
            return None
        if len(head) < LENGTH.size:
            raise FrameError("a frame that was cut off")
        (length,) = LENGTH.unpack(head)
        if length > FRAME_BYTES_MAX:
            raise FrameError(f"a frame of {length} bytes")
        body = self._inward.read(length)
        if len(body) < length:
            raise FrameError("a frame that was cut off")
        try:
            frame = json.loads(body)
        except ValueError:
            # Its text would quote the frame, and with it secrets.
            raise FrameError("a frame that is no JSON") from None
        if not isinstance(frame, dict):
            raise FrameError("a frame that is no object")
        return frame

    def write(self, kind: str, **fields: object) -> None:
        """Send a frame. Any thread may."""
        body = json.dumps({"type": kind, **fields}).encode()
        if len(body) > FRAME_BYTES_MAX:
            raise FrameError(f"a frame of {len(body)} bytes")
        with self._writing:
            self._outward.write(LENGTH.pack(len(body)) + body)
            self._outward.flush()
