"""The manual quotes sentences that exist, and its programs run."""

from __future__ import annotations

import re
from pathlib import Path

import games
from games.hanabi.engine import GAME
from games.hanabi.phrases import PHRASEBOOK

MANUAL = (Path(__file__).parents[2] / "docs" / "hanabi.md").read_text(encoding="utf-8")


def test_quoted_sentences_are_in_the_phrasebook() -> None:
    prose = re.sub(r"```.*?```", "", MANUAL, flags=re.DOTALL)
    quoted = re.findall(r"`((?:the|there|I|partner A) [^`]+)`", prose)
    quoted += re.findall(r"^    (I .+)$", prose, flags=re.MULTILINE)
    assert len(quoted) > 15
    assert [sentence for sentence in quoted if sentence not in PHRASEBOOK] == []
    assert f"one record of {GAME.itemsize} bytes" in prose


def test_programs_run() -> None:
    names: dict[str, object] = {}
    programs = re.findall(r"```python\n(.*?)```", MANUAL, flags=re.DOTALL)
    for program in programs[:2]:
        exec(program, names)
    config = games.hanabi.configure(players=3)  # type: ignore[attr-defined]
    cards = [(c, r) for c in range(5) for r in range(5) for _ in range(config.copies(r))]
    names.update(deck=cards, batch=games.batched("hanabi", players=3, num_games=1))
    exec(programs[2], names)
    exec(programs[3], names)
