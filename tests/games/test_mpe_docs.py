"""The manual of the particle games quotes sentences that exist, names every option, and runs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from games.mpe import MpeConfig
from games.mpe.phrases import PHRASEBOOK

MANUAL = (Path(__file__).parents[2] / "docs" / "mpe.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```", "", MANUAL, flags=re.DOTALL)


def test_quoted_sentences_are_in_the_phrasebook() -> None:
    quoted = re.findall(r"`(I [^`]+)`", PROSE) + re.findall(
        r"^    (?!troupe )(\w.+)$", PROSE, re.MULTILINE
    )
    assert len(quoted) > 10
    assert [phrase for phrase in quoted if " ".join(phrase.split()) not in PHRASEBOOK] == []


def test_every_option_is_named() -> None:
    rows = [line for line in PROSE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert {field.name for field in fields(MpeConfig)[2:]} <= named


def test_programs_run() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", MANUAL, flags=re.DOTALL)
    exec(program, {})
