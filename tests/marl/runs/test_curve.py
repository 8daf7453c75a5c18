"""The picture of a learning curve shows every setting, to the best score, with whole ticks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from games.settings import parse_all
from marl.runs.curve import CURVE_FILE, save_curve
from marl.runs.monitor import METRICS_FILE


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved."""
    found: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *args: object, **options: object) -> None:
        found.append(self)
        save(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def test_a_curve_for_every_setting(tmp_path: Path, drawn: list[Figure]) -> None:
    settings = parse_all(["hanabi:2", "tracking", "hanabi:3@very-small"])
    lines = [
        {"step": 0, "seconds": 3.0, "evaluate/hanabi-2/score": 0.5},
        {"step": 5, "seconds": 9.0, "learn/loss": 0.5},
        {"step": 8, "seconds": 60.0, "evaluate/hanabi-2/score": 20.25},
        {"step": 9, "seconds": 90.0, "evaluate/hanabi-2/score": None},
    ]
    (tmp_path / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    save_curve(tmp_path, settings)
    assert (tmp_path / CURVE_FILE).read_bytes().startswith(b"\x89PNG")
    assert sorted(file.name for file in tmp_path.iterdir()) == [CURVE_FILE, METRICS_FILE]
    (figure,) = drawn
    panel, other = figure.axes
    first, second = panel.lines
    assert first.get_xdata().tolist() == [0.05, 1.0]  # type: ignore[union-attr]
    assert first.get_ydata().tolist() == [0.5, 20.25]  # type: ignore[union-attr]
    assert (first.get_label(), second.get_label()) == ("hanabi:2: 20.25", "hanabi:3@very-small")
    assert panel.get_ylim() == (0, 25)
    ticks = panel.get_yticks()
    assert ticks[-1] == 25
    assert (ticks == ticks.round()).all()
    assert [line.get_label() for line in other.lines] == ["tracking"]


def test_a_run_without_an_evaluation_has_an_empty_curve(tmp_path: Path) -> None:
    save_curve(tmp_path, parse_all(["hanabi:2"]))
    assert (tmp_path / CURVE_FILE).exists()
