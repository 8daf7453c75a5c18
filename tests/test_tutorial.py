"""The file to read first runs, learns, and stays short."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "docs" / "tutorial.py"


@pytest.mark.timeout(300)
def test_the_tutorial_learns_to_be_understood(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("tutorial", FILE)
    assert spec is not None
    assert spec.loader is not None
    tutorial = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tutorial)
    assert tutorial.main(updates=900) > 0.6
    assert "by chance: 25%" in capsys.readouterr().out


def test_the_tutorial_is_short() -> None:
    assert len(FILE.read_text(encoding="utf-8").splitlines()) < 150
