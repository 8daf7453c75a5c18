"""The manual of pools: its programs run, its options exist, its pictures are there and small."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from scripts.serve import Options
from tests.scripts.test_serve import Serving
from transport.schedules import make_schedule

DOCS = Path(__file__).parents[2] / "docs"
MANUAL = (DOCS / "pools.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", MANUAL, flags=re.DOTALL)


@pytest.mark.timeout(300)
def test_who_plays_through_a_pool_needs_a_few_lines(tmp_path, monkeypatch, capsys):
    program = PROGRAMS[0].replace("100, 1)", "5, 1)")  # A few games are enough here.
    assert program != PROGRAMS[0]
    lines = [line for line in program.splitlines() if line]
    assert sum(not line.startswith(("import", "from")) for line in lines) <= 5
    monkeypatch.chdir(tmp_path)
    serving = Serving(tmp_path / "runs" / "pool", "hanabi-2p")
    try:
        exec(program, {})
    finally:
        serving.stop()
    assert re.search(r"\d\.\d\d points, by version \d+ of hanabi-2p", capsys.readouterr().out)


def test_programs_are_programs():
    for program in PROGRAMS:
        compile(program, "pools.md", "exec")


def test_pictures_are_there_and_small():
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", MANUAL)
    assert len(pictures) == 4
    for picture in pictures:
        assert 0 < (DOCS / picture).stat().st_size < 150_000


def test_schedules_are_those_of_the_command():
    named = re.findall(r"^\| `(\w+)` \|", MANUAL, flags=re.MULTILINE)
    assert set(named) == set(get_args(get_type_hints(Options)["schedule"]))
    for name in named:
        make_schedule(name, 2)
