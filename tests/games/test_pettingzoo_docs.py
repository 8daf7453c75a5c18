"""The page about PettingZoo quotes sentences that exist, and its programs run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import games

PAGE = (Path(__file__).parents[2] / "docs" / "pettingzoo.md").read_text(encoding="utf-8")

pytest.importorskip("pygame")


@pytest.mark.parametrize("name", ["pursuit", "knights-archers-zombies:5", "cooperative-pong"])
def test_quoted_sentences_are_said(name: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name.split(':')[0]}`"))
    quoted = re.findall(r"`([^`]+)`", row.split("|")[3])
    book = games.batched(name, 1).phrasebook
    assert len(quoted) >= 4
    assert [sentence for sentence in quoted if sentence not in book] == []


def test_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    programs = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(programs) == 5
    names: dict[str, object] = {}
    for program in programs:
        exec(program, names)
    said = capsys.readouterr().out
    assert "['partner A has A left']" in said
    assert "player_0 sees:\n  the game has 3 players" in said
