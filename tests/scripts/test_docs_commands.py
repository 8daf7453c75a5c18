"""Every command in the README and the manuals can be read by the command that it names."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from games.settings import parse_all
from scripts import train_options
from scripts.arguments import parse
from scripts.cli import COMMANDS
from scripts.presets import PRESETS

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(file: Path) -> list[str]:
    """The lines of a page that call troupe, continued ones whole, without what is said beside."""
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^    (troupe [a-z].*)$", text, flags=re.MULTILINE)
    return [line.partition("  #")[0].partition(" # ")[0].strip() for line in found]


CALLS = [(file.name, call) for file in FILES for call in commands(file)]


def test_there_are_commands() -> None:
    assert len(CALLS) > 40
    assert {call.split()[1] for _, call in CALLS} >= set(COMMANDS) - {"keys"}


@pytest.mark.parametrize(("page", "call"), CALLS, ids=lambda value: str(value))
def test_a_command_of_the_manuals_is_read(page: str, call: str) -> None:
    if "..." in call or "[" in call:
        pytest.skip("it leaves something out")
    _, name, *args = shlex.split(call)
    assert name in COMMANDS
    module = importlib.import_module(f"scripts.{name}")
    if name == "train":
        if "--preset" in args:
            args = [*PRESETS[args[args.index("--preset") + 1]].options, *args]
        if not any(arg.startswith("--run-dir") for arg in args):
            args += ["--run-dir", "x"]
        parse(train_options.Train, call, train_options.spelled(args))
        return
    options = parse(module.Options, call, args)
    if name == "evaluate":
        parse_all(options.settings or ["hanabi"])
