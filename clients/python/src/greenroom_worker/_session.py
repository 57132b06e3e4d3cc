"""A session, and the six stores into which it puts what it has to forget.

At its begin the runner's canary, a random phrase, is put into each. After the reset it is looked
for in all of them. Where a store is a dict the canary is an entry of it (`greenroom.canary`), and
goes along wherever the store is copied to; a conversation and its audio have it beside them, for
nobody wants to hear it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._search import directory_holds, holds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ITEMS = ("conversation", "caches", "audio", "user_context", "environment", "memory")

CANARY = "greenroom.canary"
CANARY_VARIABLE = "GREENROOM_CANARY"


class Entries(dict[str, Any]):
    """A store that is a dict."""

    def put(self, canary: str) -> None:
        """Take the canary in."""
        self[CANARY] = canary

    def holds(self, phrase: str) -> bool:
        """Whether it knows the phrase."""
        return holds(dict(self), phrase)


class Sequence(list[Any]):
    """A store that is a list: what was said, or chunks of sound."""

    canary: str | None = None

    def put(self, canary: str) -> None:
        """Take the canary in."""
        self.canary = canary

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self.canary = None

    def holds(self, phrase: str) -> bool:
        """Whether it knows the phrase."""
        return holds([list(self), self.canary], phrase)


class Environment(Entries):
    """The variables of the assignment; while the session lasts, they are in `os.environ` too."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, str] | None = None

    def begin(self, variables: Mapping[str, str]) -> None:
        """Set the variables of a session."""
        self._before = dict(os.environ)
        self.update(variables)
        os.environ.update(variables)

    def put(self, canary: str) -> None:
        """Take the canary in."""
        super().put(canary)
        os.environ[CANARY_VARIABLE] = canary

    def clear(self) -> None:
        """Forget everything: `os.environ` is as it was before the session, whoever changed it."""
        super().clear()
        before = self._before
        if before is None:
            return
        for name in [name for name in os.environ if name not in before]:
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value

    def holds(self, phrase: str) -> bool:
        """Whether it, or `os.environ`, knows the phrase."""
        return super().holds(phrase) or holds(dict(os.environ), phrase)

    @property
    def is_as_before(self) -> bool:
        """Whether `os.environ` is as it was before the session."""
        return self._before is None or dict(os.environ) == self._before


@dataclass(frozen=True)
class Extension:
    """A store of the worker's own: one that a library has, say."""

    item: str
    clear: Callable[[], object]
    holds: Callable[[str], bool]
    put: Callable[[str], object] | None = None


class Session:
    """One session, from its assignment to its reset."""

    def __init__(
        self,
        frame: Mapping[str, Any],
        extensions: tuple[Extension, ...] = (),
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.id = str(frame.get("session", ""))
        self.lease = str(frame.get("lease", ""))
        self.metadata = str(frame.get("metadata") or "")
        self.lock = threading.RLock()
        """Held during the reset; hold it where several stores have to change together."""
        self.is_over = False
        self.release = release
        """Tell that the session is over, before anybody else says so."""
        self._conversation, self._audio = Sequence(), Sequence()
        self._caches, self._user_context, self._memory = Entries(), Entries(), Entries()
        self._environment = Environment()
        self._extensions = extensions
        self._directory: Path | None = None
        self._canary = str(frame.get("canary", ""))
        self._begin(frame.get("environment") or {})

    def _begin(self, variables: Mapping[str, str]) -> None:
        self._environment.begin(variables)
        for item in ITEMS:
            self._store(item).put(self._canary)
        for extension in self._extensions:
            if extension.put is not None:
                extension.put(self._canary)

    @property
    def conversation(self) -> list[Any]:
        """What was said."""
        return self._conversation

    @property
    def caches(self) -> dict[str, Any]:
        """What was looked up."""
        return self._caches

    @property
    def audio(self) -> list[Any]:
        """Sound that was heard or is to be heard, in chunks."""
        return self._audio

    @property
    def user_context(self) -> dict[str, Any]:
        """Who it is, and what they like."""
        return self._user_context

    @property
    def environment(self) -> dict[str, Any]:
        """The variables that came with the session."""
        return self._environment

    @property
    def memory(self) -> dict[str, Any]:
        """Anything else that is remembered."""
        return self._memory

    @property
    def directory(self) -> Path:
        """A directory for files of the session, which goes with it."""
        with self.lock:
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="session-", dir=Path.cwd()))
                (self._directory / ".canary").write_text(self._canary)
            return self._directory

    def reset(self, items: tuple[str, ...] = ITEMS) -> dict[str, bool]:
        """Clear each item, and say of each whether it is clear."""
        with self.lock:
            self.is_over = True
            done = {item: self._reset(item) for item in items}
            self.id = self.lease = self.metadata = ""
            return done

    def held_by(self, phrase: str) -> list[str]:
        """Name the items that know the phrase; one that cannot be asked counts."""
        with self.lock:
            return [item for item in ITEMS if self._holds(item, phrase)]

    def _reset(self, item: str) -> bool:
        if item not in ITEMS:
            return False
        try:
            store = self._store(item)
            store.clear()
            for extension in self._of(item):
                extension.clear()
            if item == "caches" and self._directory is not None:
                shutil.rmtree(self._directory)
                self._directory = None
        except Exception:  # noqa: BLE001 - whatever it was, the item is not known to be clear
            return False
        is_clear = not store and not self._holds(item, self._canary)
        return is_clear and (item != "environment" or self._environment.is_as_before)

    def _holds(self, item: str, phrase: str) -> bool:
        try:
            stores = [self._store(item), *self._of(item)]
            in_files = item == "caches" and directory_holds(Path.cwd(), phrase)
            return in_files or any(store.holds(phrase) for store in stores)
        except Exception:  # noqa: BLE001 - the same
            return True

    def _store(self, item: str) -> Entries | Sequence:
        store: Entries | Sequence = getattr(self, f"_{item}")
        return store

    def _of(self, item: str) -> list[Extension]:
        return [extension for extension in self._extensions if extension.item == item]
