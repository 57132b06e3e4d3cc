"""Every time the reporter keeps, in one place."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """The shipped times; greenroom believes a beat for 5 s, so two of them fit in."""

    beat_s: float = 2.0
    request_s: float = 2.0
    backoff_first_s: float = 0.25
    backoff_max_s: float = 2.0
    retry_after_max_s: float = 5.0
    # LiveKit kills a job's process 10 s after it began to shut down: end before that.
    closing_s: float = 8.0

    def backoff_s(self, failures: int) -> float:
        """How long to wait after the given number of failures in a row, jittered."""
        doublings = min(failures - 1, 16)
        longest = min(self.backoff_max_s, self.backoff_first_s * 2.0**doublings)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
