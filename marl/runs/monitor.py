"""Watching a run: TensorBoard, a file of JSON lines, and a view on the terminal.

The loop it serves::

    with Monitor(run_dir, seconds=600) as monitor:
        while ...:
            monitor.count(env_steps=512, updates=2)
            if due:
                monitor.log(step, {"learn/loss": loss, "evaluate/2p/score": score})

Rates of what is counted and the memory of the process are added to every entry. What each name
means is listed in docs/metrics.md.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from marl.learning.staleness import WARN
from marl.runs.board import Board
from transport.closing import Closing
from transport.metrics import Figures, gauge, watch

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

METRICS_FILE = "metrics.jsonl"
"""An entry a line: step, seconds (of the run so far), time (Unix), and the metrics by name."""

# Where there is no terminal a line holds these, as far as they are known; scores only once.
_SCORES = "evaluate/"
_HEADLINES = (_SCORES, "learn/loss", "learn/q", "speed/", "memory/")


CURVES = gauge("curve", "The newest value of every curve, by its name in docs/metrics.md.", "name")


class Monitor(Closing):
    """Writes what a run reports, and shows it to the person who watches.

    Args:
        run_dir: the run's folder; made if it is not there.
        seconds: how long the run is meant to take, for the progress bar; None if that is open.
        resume_step: step of the checkpoint that the run continues from; what a killed process
            wrote after it is dropped. None for a new run.
        interval: seconds between two lines where there is no terminal.
        console: where to show; standard error by default.

    Attributes:
        run_dir: the run's folder.
        dropped: the last step of what was dropped, 0 if nothing was.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        seconds: float | None = None,
        resume_step: int | None = None,
        interval: float = 10.0,
        console: Console | None = None,
    ) -> None:
        from rich.console import Console

        run_dir.mkdir(parents=True, exist_ok=True)
        self.run_dir = run_dir
        metrics = run_dir / METRICS_FILE
        self._before, self.dropped = 0.0, 0
        if resume_step is not None:
            self._before, self.dropped = _keep_until(metrics, resume_step)
        self._file = _Lines(metrics)
        self._board = Board(run_dir, resume_step)
        self._full = False
        self._stale = 0.0  # share of skipped sequences that was said last
        self._console = console or Console(stderr=True)
        self._seconds, self._interval = seconds, interval
        self._process = psutil.Process(os.getpid())
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._shown: dict[str, float] = {}
        self._scored = 0  # the step of the scores that are shown
        self._unsaid: set[str] = set()  # scores that no line has told yet
        self._step = resume_step or 0
        self._start = self._last_log = self._last_line = time.monotonic()
        self._view = _View(self) if self._console.is_terminal else None
        watch(self)

    def measured(self) -> Iterator[Figures]:
        """Its figures, for an exporter."""
        yield CURVES.of(self._shown.copy())

    def count(self, **amounts: int) -> None:
        """Counts what was done; ``count(env_steps=512)`` feeds ``speed/env_steps/s``."""
        for name, amount in amounts.items():
            self._counts[name] += amount

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes an entry, adding what was done a second since the last one, and the memory used.

        Args:
            step: where it stands on the horizontal axis: the number of updates.
            values: scalars by name. One that is not finite is null in the file and has no point in
                TensorBoard.
        """
        now = time.monotonic()
        entry = {name: float(value) for name, value in values.items()}
        self._warn_of_stale(entry.get("learn/skipped", 0.0))
        for name, count in self._counts.items():
            entry[f"speed/{name}/s"] = count / max(now - self._last_log, 1e-9)
            self._counts[name] = 0
        entry["memory/rss_mib"] = self._process.memory_info().rss / 2**20
        self._last_log, self._step = now, step
        self._shown.update(entry)
        if scores := {name for name in entry if name.startswith(_SCORES)}:
            self._scored, self._unsaid = step, self._unsaid | scores
        finite = {name: value for name, value in entry.items() if math.isfinite(value)}
        line: dict[str, Any] = {
            "step": step,
            "seconds": round(self._before + now - self._start, 3),
            "time": round(time.time(), 3),
        }
        try:
            self._file.write(json.dumps(line | dict.fromkeys(entry) | finite))
            self._board.write(finite, step)
            self._full = False
        except OSError as error:
            if not self._full:
                self.say(f"curves cannot be written ({error.strerror}): the run goes on without")
            self._full = True
        if self._view is None and now - self._last_line >= self._interval:
            self._last_line = now
            self._print(self._headline())

    def _warn_of_stale(self, skipped: float) -> None:
        """Says so, once, when much of what is drawn is too old; and again if it gets worse."""
        if skipped > max(WARN, 2 * self._stale):
            self._stale = skipped
            self.say(
                f"{skipped:.0%} of the sequences drawn are older than learner.max_staleness and "
                "are skipped: more actors, a smaller replay or a larger bound would help"
            )

    def describe(self, config: Mapping[str, Any]) -> None:
        """Writes a run's configuration where its curves are looked at."""
        with contextlib.suppress(OSError):
            self._board.describe(config)

    def say(self, text: str) -> None:
        """Shows a line, above the live view where there is one."""
        self._print(text)

    def close(self) -> None:
        """Ends the view and flushes the files. Calling it again does nothing."""
        if self._file.closed:
            return
        if self._view is not None:
            self._view.stop()
        elif self._last_log > self._last_line:  # the last entry has not been shown yet
            self._print(self._headline())
        self._file.close()
        self._board.close()

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _headline(self) -> str:
        """The run in one line: time, step and the metrics that matter most.

        Scores are told once, when they are new.
        """
        shown = [
            f"{name.partition('/')[2]} {_figure(value)}"
            for prefix in _HEADLINES
            for name, value in self._shown.items()
            if name.startswith(prefix) and (prefix != _SCORES or name in self._unsaid)
        ]
        self._unsaid.clear()
        elapsed = self._before + time.monotonic() - self._start
        return "  ".join([_clock(elapsed), f"step {self._step}", *shown])


class _Lines:
    """A file that lines are added to, each whole or not at all.

    Lines that find no room are written with later ones, the newest thousand of them.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._waiting: deque[bytes] = deque(maxlen=1000)
        self._end = self._file.tell()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, line: str) -> None:
        """Adds a line.

        Raises:
            OSError: if there is no room for it now.
        """
        self._waiting.append(line.encode() + b"\n")
        while self._waiting:
            left = self._waiting[0]
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._end)
                raise
            self._end += len(self._waiting.popleft())

    def close(self) -> None:
        self._file.close()


class _View:
    """The live view: a bar of the time, and the newest value of every metric, a column a group."""

    def __init__(self, monitor: Monitor) -> None:
        from rich.live import Live

        self._monitor = monitor
        self._bar = self._progress()
        self._task = self._bar.add_task("", total=monitor._seconds)
        # Twice a second is smooth enough and costs the run nothing that can be measured.
        self._live = Live(
            get_renderable=self._render, console=monitor._console, refresh_per_second=2
        )
        self._live.start()

    def stop(self) -> None:
        """Leaves the last state on the screen."""
        self._live.stop()

    def _progress(self) -> Progress:
        from rich.progress import BarColumn, Progress, TextColumn

        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            expand=True,
            auto_refresh=False,
        )

    def _render(self) -> RenderableType:
        from rich.columns import Columns
        from rich.console import Group
        from rich.table import Table

        monitor = self._monitor
        elapsed = time.monotonic() - monitor._start
        total = "" if monitor._seconds is None else f" of {_clock(monitor._seconds)}"
        self._bar.update(
            self._task,
            description=f"{_clock(elapsed)}{total}   step {monitor._step}",
            completed=elapsed if monitor._seconds is None else min(elapsed, monitor._seconds),
        )
        groups: dict[str, Table] = {}
        # A copy: the run adds metrics while this thread draws.
        for name, value in sorted(monitor._shown.copy().items()):
            group, _, rest = name.partition("/")
            if name.startswith(_SCORES):
                setting, _, rest = rest.rpartition("/")
                group = f"{setting}, update {monitor._scored:,}"
            if group not in groups:
                groups[group] = Table(
                    title=group,
                    title_justify="left",
                    min_width=len(group),
                    box=None,
                    show_header=False,
                )
            groups[group].add_row(rest, _figure(value))
        return Group(self._bar, Columns(groups.values(), padding=(0, 3)))


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """What a run has written of itself so far, in order; a line that was cut off is left out."""
    metrics = run_dir / METRICS_FILE
    entries = []
    for line in metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            entries.append(json.loads(line))
    return entries


def _keep_until(metrics: Path, step: int) -> tuple[float, int]:
    """Drops the entries after a step, and a line that was cut off.

    Returns:
        the seconds so far, and the last step that was dropped (0: none).
    """
    if not metrics.exists():
        return 0.0, 0
    entries = read_metrics(metrics.parent)
    kept = [entry for entry in entries if entry["step"] <= step]
    temporary = metrics.with_suffix(".tmp")
    lines = "".join(json.dumps(entry) + "\n" for entry in kept)
    try:
        temporary.write_text(lines, encoding="utf-8")
        temporary.replace(metrics)
    except OSError as error:
        error.filename = str(temporary)
        raise
    dropped = max((entry["step"] for entry in entries if entry["step"] > step), default=0)
    return float(kept[-1]["seconds"]) if kept else 0.0, dropped


def _clock(seconds: float) -> str:
    """Seconds as 3:20 or 1:03:20."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _figure(value: float) -> str:
    """A number in about four digits, whole from 1000 on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
