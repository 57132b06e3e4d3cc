"""One call of greenroom's API: `POST /v1/dispatches/{id}/alive`.

`Target` says where and as whom, `Alive.say` makes the call, `Answer` says what it means.
Nothing here raises for anything the network or the server does, and nothing here puts the
token anywhere but in the `Authorization` header.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

DISPATCH_ID = "greenroom.dispatch_id"
BASE_URL = "greenroom.url"
TOKEN = "greenroom.token"  # noqa: S105 - the attribute's name

BODY_BYTES_MAX = 64 * 1024

SaidState = Literal["open", "busy", "closed"]


class BadAttributesError(ValueError):
    """The job has greenroom's attributes, but they cannot be used."""


@dataclass(frozen=True)
class Target:
    """Where to report, and with which token."""

    dispatch_id: str
    alive_url: URL
    token: str = field(repr=False)

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str]) -> Target | None:
        """Read a job's attributes; `None` if greenroom did not dispatch it."""
        found = {name: attributes.get(name, "") for name in (DISPATCH_ID, BASE_URL, TOKEN)}
        if not any(found.values()):
            return None
        if missing := [name for name, value in found.items() if not value]:
            raise BadAttributesError(f"{', '.join(missing)} missing")
        token = found[TOKEN]
        if not token.isascii() or not token.isprintable() or " " in token:
            raise BadAttributesError(f"{TOKEN} cannot be sent in a header")
        return cls(found[DISPATCH_ID], _alive_url(found[BASE_URL], found[DISPATCH_ID]), token)


def _alive_url(base: str, dispatch_id: str) -> URL:
    try:
        parts = urlsplit(base)
        _ = parts.port
    except ValueError as error:
        raise BadAttributesError(f"{BASE_URL} is not an address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadAttributesError(f"{BASE_URL} is not an http or https address")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadAttributesError(f"{BASE_URL} holds more than scheme, host, port and path")
    path = f"/v1/dispatches/{quote(dispatch_id, safe='')}/alive"
    return URL(base.rstrip("/") + path, encoded=True)


class Verdict(enum.Enum):
    """What an answer means for the agent."""

    HEARD = "heard"
    """Noted; say it again at the next beat."""
    REPLACED = "replaced"
    """The dispatch is over, or another agent has it: this one must end."""
    REFUSED = "refused"
    """The token is not accepted: no use in going on, no reason to end the agent."""
    AGAIN = "again"
    """Passing trouble: say it again soon."""


@dataclass(frozen=True)
class Answer:
    """The outcome of one call: its meaning, and why, for the log."""

    verdict: Verdict
    why: str
    retry_after_s: float | None = None


class Alive:
    """Says a dispatch's state to greenroom, over one connection that is kept."""

    def __init__(self, target: Target, *, retry_after_max_s: float) -> None:
        self._target = target
        self._retry_after_max_s = retry_after_max_s
        self._proxy = _proxy_for(target.alive_url)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"greenroom-agents/{_version()}"},
        )

    async def aclose(self) -> None:
        """Close the connection."""
        await self._http.close()

    async def say(self, state: SaidState, *, timeout_s: float) -> Answer:
        """Report `state` and read the answer; takes no longer than `timeout_s`."""
        try:
            async with self._http.post(
                self._target.alive_url,
                json={"state": state},
                headers={"Authorization": f"Bearer {self._target.token}"},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                # Read, so that the connection can be used again.
                await response.content.read(BODY_BYTES_MAX)
                return self._meaning(response)
        except asyncio.TimeoutError:
            return Answer(Verdict.AGAIN, "no answer in time")
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the agent goes on
            # The kind alone: the text of an error may repeat what was sent.
            return Answer(Verdict.AGAIN, type(error).__name__)

    def _meaning(self, response: aiohttp.ClientResponse) -> Answer:
        why = f"status {response.status}"
        match response.status:
            case status if 200 <= status < 300:  # noqa: PLR2004
                return Answer(Verdict.HEARD, why)
            case 409 | 410:
                return Answer(Verdict.REPLACED, why)
            case 401 | 403:
                return Answer(Verdict.REFUSED, why)
            case _:
                # A 404, too: what was ended is answered 410. An id that is not known at all may
                # belong to a store that came back empty, or a proxy answers: the agent goes on.
                header = response.headers.get("Retry-After", "")
                return Answer(Verdict.AGAIN, why, self._retry_after_s(header))

    def _retry_after_s(self, header: str) -> float | None:
        header = header.strip()
        if header.isascii() and header.isdigit():
            wanted_s = float(header)
        else:
            try:
                at = parsedate_to_datetime(header)
            except ValueError:
                return None
            if at.tzinfo is None:
                at = at.replace(tzinfo=timezone.utc)
            wanted_s = (at - datetime.now(timezone.utc)).total_seconds()
        return min(max(wanted_s, 0.0), self._retry_after_max_s)


def _proxy_for(url: URL) -> str | None:
    """Return the environment's proxy for `url`, without aiohttp's `trust_env`.

    That would let a `.netrc` entry for the host take the token's place.
    """
    if not url.host or proxy_bypass(url.host):
        return None
    return getproxies().get(url.scheme)


def _version() -> str:
    try:
        return version("greenroom-agents")
    except PackageNotFoundError:
        return "0"
