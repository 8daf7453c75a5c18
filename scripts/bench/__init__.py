"""Benches: what a part does in a second, beside what a user would pick instead.

Every module of this package is a bench, listed by the first line of its docstring. It has one
function, which yields a row as soon as it is measured::

    def run(seconds: float) -> Iterator[Row]:
        ours = rate(step_our_engine, seconds / 2)
        yield Row("random legal play, 2 players", ours, "steps/s")
        theirs = rate(step_their_engine, seconds / 2)
        yield Row("random legal play, 2 players", theirs, "steps/s", against="pyhanabi",
                  ratio=ours / theirs)

``seconds`` bounds the measuring of the whole bench (warm-up and compilation come on top).
``troupe bench NAME --json FILE`` writes the rows with the machine and the versions beside them.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import pkgutil
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import tyro

from scripts.arguments import parse
from scripts.outputs import check_file

if TYPE_CHECKING:
    from rich.table import Table

# What a figure may depend on; those that are not installed are left out of the report.
_VERSIONED = (
    "troupe",
    "numpy",
    "numba",
    "torch",
    "pyzmq",
    "msgspec",
    "pettingzoo",
    "pyboy",
    "hanabi-learning-environment",
    "open-spiel",
    "Shimmy",
    "jaxmarl",
    "mpe2",
    "cpprb",
    "transformers",
)


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        what: what was measured, with its setting ("random legal play, 2 players").
        value: the figure; None where it could not be taken (``unit`` then says why, as in
            "not installed").
        unit: its unit ("steps/s", "ms", "bytes").
        against: whose figure this is, where it is a peer's; None for our own.
        ratio: how much better ours is (above 1: ours is better); None for our own.
    """

    what: str
    value: float | None
    unit: str
    against: str | None = None
    ratio: float | None = None


def rate(call: Callable[[], object], seconds: float) -> float:
    """Calls per second of ``call``, repeated for about ``seconds``, after one call to warm up.

    Args:
        call: what to measure, without arguments; multiply by the work that one call does.
        seconds: how long to measure; at least one call is made.

    Returns:
        Calls per second of wall-clock time.
    """
    call()
    calls, batch = 0, 1
    start = time.perf_counter()
    while True:
        for _ in range(batch):
            call()
        calls += batch
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return calls / elapsed
        # Look at the clock about a hundred times, however short a call is.
        batch = max(1, min(batch * 2, int(calls / elapsed * seconds / 100)))


def benches() -> dict[str, str]:
    """Every bench by name, with the first line of its docstring. Imports none of them."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        folder = Path(module.module_finder.path)  # type: ignore[union-attr]
        source = (folder / f"{module.name}.py").read_text(encoding="utf-8")
        doc = ast.get_docstring(ast.parse(source)) or ""
        found[module.name.replace("_", "-")] = doc.partition("\n")[0]
    return found


def run(name: str, seconds: float, agents: Sequence[str] = ()) -> Iterator[Row]:
    """Runs one bench.

    Args:
        name: a key of ``benches()``.
        seconds: bound on the measuring.
        agents: who plays, for a bench whose ``run`` takes ``agents``.

    Raises:
        ValueError: if there is no such bench, it asks for no agents, or ``seconds`` is not
            positive.
    """
    if name not in (known := benches()):
        raise ValueError(f"there is no bench {name!r}: choose from {', '.join(known)}")
    if not 0 < seconds < float("inf"):
        raise ValueError(f"seconds must be a positive number, got {seconds}")
    module = name.replace("-", "_")
    measure = importlib.import_module(f"{__name__}.{module}").run
    takes = "agents" in inspect.signature(measure).parameters
    if agents and not takes:
        raise ValueError(f"nobody plays in the bench {name}: leave --agents out")
    rows: Iterator[Row] = measure(seconds, agents) if takes else measure(seconds)
    return rows


@dataclass(frozen=True)
class Options:
    """Measures the parts of Troupe, beside what a user would pick instead.

    Without a name, lists the benches there are.
    """

    names: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")
    ] = ()
    """What to measure; "all" for everything."""
    seconds: float = 20.0
    """Bound on the measuring of each; warm-up and compilation come on top."""
    agents: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SETTING=AGENT ...")] = ()
    """Who plays what, for benches of players (delay): parcels@pace=4@every=2=runs/mine."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for the rows, with the machine and the versions beside them; for one bench."""


def main(args: Sequence[str]) -> None:
    """Lists or runs benches, as the options say.

    Raises:
        ValueError: if there is no such bench, an option is out of range, or a bench failed
            half-way: the rows that it had by then are shown and saved.
    """
    options = parse(Options, "troupe bench", args)
    names = list(benches()) if options.names == ("all",) else list(options.names)
    if options.json is not None and len(names) != 1:
        raise ValueError(f"--json takes the rows of one bench, and {len(names)} are named")
    check_file(options.json, "--json")
    running = {name: run(name, options.seconds, options.agents) for name in names}
    if not names:
        width = max(map(len, benches()), default=0) + 2
        print("\n".join(f"{name:<{width}}{what}" for name, what in benches().items()))
    failures = []
    for name, rows in running.items():
        measured, failure = _measure(name, rows)
        if failure:
            failures.append(failure)
        if options.json is not None:
            save(options.json, name, options.seconds, measured, failure, options.agents)
    if failures:
        raise ValueError("; ".join(failures))


def _measure(name: str, rows: Iterator[Row]) -> tuple[list[Row], str]:
    """Takes and shows a bench's rows.

    Returns:
        the rows, and what ended the bench before its last row ("" if nothing did).
    """
    from rich.console import Console
    from rich.live import Live

    measured: list[Row] = []
    with Live(console=Console(), auto_refresh=False) as live:
        try:
            for row in rows:
                measured.append(row)
                live.update(_table(name, measured), refresh=live.console.is_terminal)
        except Exception as error:
            what = f"{type(error).__name__}: {error}".strip().removesuffix(":")
            return measured, f"{name} failed after {len(measured)} rows ({what})"
    return measured, ""


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system: what a figure was measured on."""
    return {
        "processor": _processor(),
        "cores": _cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Python's version and those of the packages that a figure may depend on."""
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def save(
    path: Path,
    name: str,
    seconds: float,
    rows: Iterable[Row],
    failure: str = "",
    agents: Sequence[str] = (),
) -> None:
    """Writes a bench's rows as JSON, with the machine and the versions beside them.

    Args:
        path: the file.
        name: the bench's.
        seconds: that it was given.
        rows: what it measured.
        failure: what ended it half-way, if anything did.
        agents: who played.
    """
    named = "".join(f" {agent}" for agent in (["--agents", *agents] if agents else []))
    report = {
        "bench": name,
        "seconds": seconds,
        "command": f"troupe bench {name} --seconds {seconds:g}{named}",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "versions": versions(),
        "rows": [asdict(row) for row in rows],
    } | ({"failure": failure} if failure else {})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _table(name: str, rows: Sequence[Row]) -> Table:
    """The rows for the terminal."""
    from rich.table import Table

    table = Table(title=f"{name}: {benches()[name]}", title_justify="left")
    table.add_column("what")
    for heading in ("value", "unit", "against", "ratio"):
        table.add_column(heading, justify="right" if heading in ("value", "ratio") else "left")
    for row in rows:
        table.add_row(
            row.what,
            "-" if row.value is None else _figure(row.value),
            row.unit,
            row.against or "",
            "" if row.ratio is None else f"{_figure(row.ratio)}x",
        )
    return table


def _figure(value: float) -> str:
    """A number in four digits or, from 1000 on, whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cores() -> int | None:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _processor() -> str:
    """The processor's name, from Linux's own list where there is one."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
