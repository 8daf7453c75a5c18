"""``troupe``: one entry for everything a person runs.

A command is a module of this package with a function ``main(args)``. It is imported only when it is
called, so that ``troupe --help`` answers at once.

What the person got wrong is said in one line, and the exit status is 2. An error of ours keeps its
traceback.
"""

from __future__ import annotations

import difflib
import dis
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType

COMMANDS = {
    "train": "learn to play a game together, by self-play",
    "tabular": "learn small games in tables, over seeds, beside each other",
    "lio": "let agents of small games learn to give each other incentives",
    "evaluate": "let an agent play, and report its scores",
    "compare": "draw curves and final scores of methods over seeds",
    "crossplay": "let agents play with each other, and show how they fit together",
    "adhoc": "let agents play with partners that they have never met",
    "play": "sit down at a table with agents, in a terminal",
    "replay": "look at a game that was saved, or export it",
    "serve": "let an agent play for others, through a pool of processes",
    "join": "let this machine work for a run that is trained on another",
    "keys": "make keys for pools that other machines can reach",
    "export": "write an agent as two small files to pass on",
    "bench": "measure the parts, beside what others offer",
}

_PACKAGES = ("agents", "games", "marl", "scripts", "transport", "troupe")


def main(args: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        args: what stands behind ``troupe``; the command line's by default.

    Returns:
        the exit status: 0, 2 for bad input, 130 where the person interrupted.
    """
    args = sys.argv[1:] if args is None else list(args)
    # Threads that spin while they wait for each other cost nearly everything as soon as a core is
    # shared. OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    command = args[0] if args else "--help"
    if command in ("-h", "--help", "help"):
        print(_help())
        return 0
    if command in ("-V", "--version"):
        print(f"troupe {metadata.version('troupe')}")
        return 0
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        advice = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}"
        return _refuse("troupe", f"there is no command {command!r}: {advice}")
    if taken := _shadowed():
        return _refuse("troupe", taken)
    try:
        importlib.import_module(f"scripts.{command}").main(args[1:])
    except SystemExit as end:  # after --help
        return int(end.code or 0)
    except KeyboardInterrupt as interruption:
        print(f"troupe {command}: {str(interruption) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return 0
    except ValueError as error:
        if not _is_worded(error.__traceback__):
            raise
        return _refuse(f"troupe {command}", str(error))
    except OSError as error:
        if error.filename is None:
            raise
        return _refuse(f"troupe {command}", f"{error.filename}: {error.strerror}")
    return 0


def _help() -> str:
    """The overview of all commands."""
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            "usage: troupe COMMAND ...",
            "",
            "Trains, serves and evaluates agents that cooperate, across games that speak text.",
            "",
            "commands:",
            *(f"  {name:<{width}}{what}" for name, what in COMMANDS.items()),
            "",
            "  troupe COMMAND --help lists the options of a command",
            "  troupe --version",
            "",
            "to begin with:",
            "  troupe train hanabi --players 2 --minutes 10 --run-dir runs/first",
            "  troupe evaluate runs/first --games 1000",
            "  tensorboard --logdir runs",
        ]
    )


def _shadowed() -> str | None:
    """Says which of our packages a folder of the person's own stands in the way of, if one does."""
    home = Path(__file__).resolve().parents[1]
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        found = [] if spec is None else list(spec.submodule_search_locations or ())
        if found and Path(found[0]).resolve().parent != home:
            return (
                f"{found[0]} is taken for Troupe's own package {package!r}: rename it, or take its "
                "folder off Python's path (PYTHONPATH, or the current folder with python -m)"
            )
    return None


def _refuse(who: str, why: str) -> int:
    """Says in one line what was wrong with the input."""
    print(f"{who}: {' '.join(why.split())}", file=sys.stderr)
    return 2


def _is_worded(trace: TracebackType | None) -> bool:
    """Whether an error was raised by a statement of ours, which words it for the person.

    One that comes up from a library is no answer to anybody's input: its traceback is needed.
    """
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame
    ours = str(frame.f_globals.get("__name__", "")).partition(".")[0] in _PACKAGES
    # A library in C has no frame of its own: only a raise statement is ours for certain.
    return ours and frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]


if __name__ == "__main__":
    sys.exit(main())
