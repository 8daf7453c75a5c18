"""``troupe train --seeds``: the same training once for each of several seeds.

A study is a folder with a run for each seed, ``RUN_DIR/seed-1`` and so on, all of one
configuration. They are trained one after the other in this process, or side by side in processes
of their own, each of which trains its share one after the other.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from games.settings import parse_numbers
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import CONFIG_FILE
from marl.runs.monitor import read_metrics
from marl.runs.saving import refuse_second
from scripts.train_options import DEFAULT_MINUTES, Train, read
from scripts.train_run import run
from transport.child import FatalError
from transport.claim import Claim
from transport.launch import ProcessDiedError, Role, Supervisor
from transport.signals import StopFlag

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SPENT_FILE = "spent.json"
"""In the folder of a seed: the minutes that it was trained for, start-up included."""

_LINE_SECONDS = 10.0
_FOR_STUDIES = {"--seeds": 1, "--at-once": 1, "--resume": 0}  # and how many values follow


class Study:
    """The runs of one configuration, a folder each.

    Args:
        args: what stands behind ``troupe train``.
        run_dir: the folder of the study.
        minutes: that every run is to be trained for, over all its sessions.
        updates: at which every run is to stop; with both, whichever comes first.
    """

    def __init__(
        self, args: Sequence[str], run_dir: Path, minutes: float | None, updates: int | None
    ) -> None:
        self.args, self.run_dir = list(args), run_dir
        self.minutes, self.updates = minutes, updates

    def folder(self, seed: int) -> Path:
        """Where the run of a seed is."""
        return self.run_dir / f"seed-{seed}"

    def begun(self) -> dict[int, Path]:
        """The folders of all runs that have begun, by seed."""
        folders = (file.parent for file in self.run_dir.glob(f"seed-*/{CONFIG_FILE}"))
        numbered = {folder.name.removeprefix("seed-"): folder for folder in folders}
        return {int(n): folder for n, folder in sorted(numbered.items()) if n.isdecimal()}

    def finished(self, seed: int) -> bool:
        """Whether a run has had its minutes or its updates."""
        if self.minutes is not None and self.spent(seed) >= self.minutes:
            return True
        done = CheckpointStore(self.folder(seed) / "checkpoints").latest() or 0
        return self.updates is not None and done >= self.updates

    def spent(self, seed: int) -> float:
        """Minutes that a run has been trained for; where it was killed, as far as it says."""
        noted = 0.0
        with contextlib.suppress(FileNotFoundError, ValueError):
            noted = float(json.loads((self.folder(seed) / SPENT_FILE).read_text())["minutes"])
        entries = read_metrics(self.folder(seed))
        return max(noted, entries[-1]["seconds"] / 60 if entries else 0.0)

    def options(self, seed: int) -> Train:
        """How a run is trained now: with what is left of its budget, and like the others.

        Raises:
            ValueError: if it would be another configuration than that of the runs that are there.
        """
        begun, folder = self.begun(), self.folder(seed)
        like = seed if seed in begun else next(iter(begun), seed)
        args = [*self.args, "--seed", str(like), "--run-dir", str(self.folder(like))]
        options = read([*args, "--resume"] if like in begun else args)
        left = None if self.minutes is None else max(self.minutes - self.spent(seed), 1e-3)
        return replace(
            options,
            seed=seed,
            run_dir=folder,
            resume=seed in begun,
            minutes=left,
            updates=self.updates,
        )

    def train(self, seeds: Sequence[int], stop: Callable[[], bool] = lambda: False) -> None:
        """Trains runs one after the other, in this process, until one is interrupted."""
        for seed in seeds:
            if stop():
                return
            before, start = self.spent(seed), time.monotonic()
            run(self.options(seed))
            spent = before + (time.monotonic() - start) / 60
            (self.folder(seed) / SPENT_FILE).write_text(json.dumps({"minutes": spent}) + "\n")
            if not self.finished(seed):
                return


def train_seeds(options: Train, args: Sequence[str]) -> None:
    """Trains as ``--seeds`` and ``--at-once`` say.

    Args:
        options: as ``read`` understood them.
        args: what they were read from.

    Raises:
        ValueError: if an option does not fit, or a run is there already and ``--resume`` is not.
    """
    from rich.console import Console

    assert options.seeds is not None
    seeds = parse_numbers(options.seeds, "--seeds")
    if any(arg == "--seed" or arg.startswith("--seed=") for arg in args):
        raise ValueError("give either --seed, for one run, or --seeds, for several")
    refuse_second(options.run_dir)
    minutes = options.minutes
    if minutes is None and options.updates is None:
        minutes = DEFAULT_MINUTES
    study = Study(_of_one_run(args), options.run_dir, minutes, options.updates)
    if not options.resume:
        for seed in seeds:
            refuse_second(study.folder(seed))
    pending = [seed for seed in seeds if not study.finished(seed)]
    for seed in pending:  # what is wrong is said before the first is trained
        study.options(seed)
    console = Console(stderr=True)
    if len(pending) < len(seeds):
        console.print(f"{len(seeds) - len(pending)} of {len(seeds)} seeds are finished already")
    if options.at_once > 1 and len(pending) > 1:
        _side_by_side(study, pending, min(options.at_once, len(pending)), console)
    else:
        with Claim(study.run_dir):
            study.train(pending)
    finished = sum(study.finished(seed) for seed in seeds)
    if finished < len(seeds):
        print(f"interrupted: {finished} of {len(seeds)} seeds are finished; go on with --resume")
    else:
        print(
            f"{len(seeds)} seeds are trained in {study.run_dir}. "
            f"To see what they came to: troupe compare {study.run_dir}"
        )


def train_share(
    args: list[str],
    seeds: list[int],
    shares: int,
    minutes: float | None,
    updates: int | None,
    run_dir: str | Path,
    number: int,
    stop: Callable[[], bool],
) -> None:
    """What one of several processes does: every so-manieth of the seeds, one after the other.

    Raises:
        FatalError: if a run refuses to be trained: trying again would not help.
    """
    try:
        Study(args, Path(run_dir), minutes, updates).train(seeds[number::shares], stop)
    except ValueError as error:
        raise FatalError(str(error)) from error


def _side_by_side(study: Study, seeds: Sequence[int], shares: int, console: Console) -> None:
    """Trains runs in processes of their own, and shows how far they are.

    Raises:
        ValueError: if one of them cannot go on; the others are saved and stopped then.
    """
    from rich.live import Live

    arguments = {
        "args": study.args,
        "seeds": list(seeds),
        "shares": shares,
        "minutes": study.minutes,
        "updates": study.updates,
    }
    role = Role(
        "seeds", "scripts.seeds:train_share", arguments, count=shares, restart="until_done",
        patience=2.3,
    )  # fmt: skip
    line = time.monotonic()
    logs = study.run_dir / "logs"
    console.print(f"{len(seeds)} seeds, {shares} at once; what they say is in {logs}")
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopFlag())
        crew = stack.enter_context(Supervisor(study.run_dir, [role], calm=inf))
        if console.is_terminal:
            shown = Live(
                get_renderable=lambda: _table(study, seeds), console=console, refresh_per_second=0.5
            )
            stack.enter_context(shown)
        while not stop() and not crew.done("seeds"):
            try:
                news = crew.check()
            except ProcessDiedError as error:
                raise ValueError(str(error)) from error
            for each in news:
                console.print(each, markup=False, soft_wrap=True)
            if not console.is_terminal and time.monotonic() - line >= _LINE_SECONDS:
                line = time.monotonic()
                said = (f"seed {seed}: {' '.join(_progress(study, seed))}" for seed in seeds)
                console.print("   ".join(said), highlight=False, soft_wrap=True)
            time.sleep(0.1)


def _table(study: Study, seeds: Sequence[int]) -> Table:
    """How far each seed is, for the terminal."""
    from rich.table import Table

    table = Table("seed", "updates", "minutes", "newest evaluation", box=None)
    for seed in seeds:
        table.add_row(str(seed), *_progress(study, seed))
    return table


def _progress(study: Study, seed: int) -> tuple[str, str, str]:
    """Updates, minutes and the headline of the newest evaluation of a run."""
    entries = read_metrics(study.folder(seed))
    if not entries:
        return "-", "-", ""
    evaluated = [
        {name: value for name, value in entry.items() if name.startswith("evaluate/")}
        for entry in entries
    ]
    newest: dict[str, float | None] = next((entry for entry in reversed(evaluated) if entry), {})
    name, value = next(iter(newest.items()), ("", None))
    figure = "" if value is None else f"{name.removeprefix('evaluate/')} {value:.2f}"
    return f"{entries[-1]['step']:,}", f"{entries[-1]['seconds'] / 60:.1f}", figure


def _of_one_run(args: Sequence[str]) -> list[str]:
    """Arguments without those that are about several runs."""
    kept: list[str] = []
    skip = 0
    for arg in args:
        if skip:
            skip -= 1
            continue
        name, equals, _ = arg.partition("=")
        name = name.replace("_", "-")
        if name in _FOR_STUDIES:
            skip = 0 if equals else _FOR_STUDIES[name]
        else:
            kept.append(arg)
    return kept
