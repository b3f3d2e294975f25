"""Two threads that read as applications do, while a test publishes."""

import threading
from abc import ABC, abstractmethod
from typing import Self

from real_servers import wait_until


class ReadingThreads(ABC):
    """One asks the reader for a list at a time; one follows docs/keys.md, a whole generation."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=work, daemon=True) for work in (self._ask, self._pin)
        ]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        wait_until(self._has_read)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(timeout=30)

    @abstractmethod
    def _ask(self) -> None:
        """Read lists with `Reader` until stopped."""

    @abstractmethod
    def _pin(self) -> None:
        """Read whole generations by plain keys until stopped."""

    @abstractmethod
    def _has_read(self) -> bool:
        """Return whether both threads have read something."""
