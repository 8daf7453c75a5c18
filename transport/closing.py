"""What is closed at the end of a ``with``."""

from __future__ import annotations

from typing import Self


class Closing:
    """Whoever inherits can stand in a ``with``, and is closed at its end whatever happened."""

    def close(self) -> None:
        """Lets go of what it holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()
