"""What is computed when it is first asked for, by whichever thread asks."""

import threading
from collections.abc import Callable
from typing import Any


class Once:
    """A function that computes its value when it is first called, in whichever thread."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._values: list[Any] = []

    def __call__(self) -> Any:  # noqa: ANN401  # as it computes
        """Return the value; whoever asks meanwhile waits for it."""
        with self._lock:
            if not self._values:
                self._values.append(self._compute())
            return self._values[0]
