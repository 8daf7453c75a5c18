"""How far a command is that plays games: a bar, or now and then a line where none can be."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 10.0


class GamesBar:
    """Shows how many games have been played, and how long the others will take.

    Args:
        console: where to show.
        total: games to play.
    """

    def __init__(self, console: Console, total: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console, self._total, self._done = console, total, 0
        self._start = self._line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("games"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            # The speed of games depends on who plays: only a long memory tells what is left.
            speed_estimate_period=600,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> GamesBar:
        """Shows the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Takes the bar away."""
        self._bar.stop()

    def say(self, what: str) -> None:
        """Says what is being played."""
        from rich.markup import escape

        self._bar.update(self._task, description=escape(what))

    def advance(self, ended: int) -> None:
        """Counts games that have ended."""
        self._done += ended
        self._bar.advance(self._task, ended)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._line >= LINE_SECONDS:
            self._line = now
            left = (now - self._start) / self._done * (self._total - self._done)
            self._console.print(
                f"{self._done:,} of {self._total:,} games, {left:.0f} s left", highlight=False
            )
