"""Being told to stop: SIGTERM and SIGINT become a flag that is asked."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self


class StopFlag:
    """Becomes true at SIGTERM or SIGINT; called as ``stop()``, it says whether it is.

    Schedulers and kernels send SIGTERM more than once, so only the first counts. A second SIGINT is
    a person who will not wait: it does what it did before this was made, which is to raise
    KeyboardInterrupt. As a context manager it puts the former handlers back at the end.

    Must be made in the main thread.

    Args:
        insist: whether a second SIGINT is ignored, too.
    """

    def __init__(self, insist: bool = False) -> None:
        # Plain attributes: a handler may interrupt anything, also one who holds a lock.
        self._stopped = False
        self._insist = insist
        self._former: dict[int, Any] = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGTERM, signal.SIGINT)
        }

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._stopped

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Puts the former handlers back."""
        for number, handler in self._former.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def set(self) -> None:
        """Makes it true."""
        self._stopped = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True
        if number == signal.SIGINT and not self._insist:
            signal.signal(number, self._former[number] or signal.SIG_DFL)
