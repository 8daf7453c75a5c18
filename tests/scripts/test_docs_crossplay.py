"""The programs in the manuals of cross-play and play run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.sitting import HELP

DOCS = Path(__file__).parents[2] / "docs"


def programs(name: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_a_game_on_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (program,) = programs("play.md")
    exec(program, {})
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_cross_play_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from marl.runs import roster

    try:
        roster.load("bot:iggi")
    except ValueError:
        pytest.skip("the roster has no bots")
    monkeypatch.chdir(tmp_path)
    (program,) = programs("crossplay.md")
    exec(program, {})
    assert capsys.readouterr().out.splitlines()[1].startswith("hanabi:3 Estimate(")
    assert (tmp_path / "matrix" / "crossplay.html").is_file()


def test_everything_that_can_be_typed_is_told() -> None:
    manual = (DOCS / "play.md").read_text(encoding="utf-8")
    for line in HELP.splitlines()[1:]:
        assert line.split()[0] in manual
