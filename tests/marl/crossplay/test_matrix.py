"""Figures of cross-play, worked out by hand, and what their intervals promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from games import Setting
from marl.crossplay.cells import Cell
from marl.crossplay.matrix import matrix
from tests.marl.players import made_up

TWO, THREE, FOUR = (Setting("hanabi", players) for players in (2, 3, 4))


def by_hand(cell: Cell) -> tuple[list[float], list[int]]:
    """Four games: 10 * guest + hosts, and 1 more from game to game; the first is lost."""
    first = 10 * cell.guest + cell.hosts
    return [float(first + i) for i in range(4)], [0]


def test_two_players(tmp_path: Path) -> None:
    found = matrix(made_up(tmp_path, ("a", "b", "c"), ("hanabi:2",), 4, by_hand), TWO)
    assert sorted(found.cells) == [(g, h) for g in range(3) for h in range(3)]
    cell = found.cells[1, 2]  # 12, 13, 14, 15, the first lost
    assert cell.scores["points"].mean == 13.5
    assert cell.scores["score"].mean == (13 + 14 + 15) / 4
    assert (cell.lost_share, cell.games, cell.turns) == (0.25, 4, 60)
    # b begins in games 0 and 2, c in games 1 and 3.
    assert cell.by_turn["points"] == (13.0, 14.0)
    assert cell.by_turn["score"] == (7.0, 14.0)
    mirror = found.cells[2, 1]
    assert mirror.scores == cell.scores
    assert mirror.by_turn["points"] == (14.0, 13.0)
    assert found.self_play["points"].mean == (1.5 + 12.5 + 23.5) / 3
    assert found.cross_play is not None
    assert found.cross_play["points"].mean == pytest.approx((2.5 + 3.5 + 13.5) / 3)
    assert found.gap is not None
    assert found.gap["points"].mean == pytest.approx(37.5 / 3 - 19.5 / 3)
    a, b, c = found.agents
    assert b.self_play is not None
    assert b.self_play["points"].mean == 12.5
    for agent, mean in ((a, 3.0), (b, 8.0), (c, 8.5)):
        assert agent.cross_play is not None
        assert agent.cross_play["points"].mean == pytest.approx(mean)
        assert agent.as_guest == agent.as_hosts == agent.cross_play


def test_more_players_keep_the_mixes_apart(tmp_path: Path) -> None:
    found = matrix(made_up(tmp_path, ("a", "b", "c"), ("hanabi:4",), 4, by_hand), FOUR)
    assert found.cells[1, 2].scores["points"].mean == 13.5
    assert found.cells[2, 1].scores["points"].mean == 22.5
    assert found.cells[1, 2].by_turn["points"] == (12.0, 13.0, 14.0, 15.0)
    b = found.agents[1]
    assert b.as_guest is not None
    assert b.as_hosts is not None
    assert b.cross_play is not None
    assert b.as_guest["points"].mean == (11.5 + 13.5) / 2
    assert b.as_hosts["points"].mean == (2.5 + 22.5) / 2
    assert b.cross_play["points"].mean == (11.5 + 13.5 + 2.5 + 22.5) / 4
    assert found.cross_play is not None
    assert found.cross_play["points"].mean == (2.5 + 3.5 + 11.5 + 13.5 + 21.5 + 22.5) / 6


def test_who_cannot_play_does_not_count(tmp_path: Path) -> None:
    crossplay = made_up(
        tmp_path, ("a", "b", "c"), ("hanabi:2-3",), 4, by_hand, cannot=(("hanabi:3", "b"),)
    )
    found = matrix(crossplay, THREE)
    assert sorted(found.cells) == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert found.self_play["points"].mean == (1.5 + 23.5) / 2
    a, b, _ = found.agents
    assert b.unable == "b counts to 2 <only>"
    assert b.self_play is b.cross_play is None
    assert a.cross_play is not None
    assert a.cross_play["points"].mean == (3.5 + 21.5) / 2
    assert matrix(crossplay, TWO).agents[1].unable is None


def test_one_agent_has_no_cross_play(tmp_path: Path) -> None:
    found = matrix(made_up(tmp_path, ("a",), ("hanabi:2",), 4, by_hand), TWO)
    assert found.cross_play is found.gap is found.agents[0].cross_play is None
    assert found.self_play["points"].mean == 1.5


def test_a_single_game_has_an_interval_of_no_width(tmp_path: Path) -> None:
    found = matrix(made_up(tmp_path, ("a", "b"), ("hanabi:3",), 1, lambda cell: ([7.0], [])), THREE)
    estimate = found.cells[0, 1].scores["score"]
    assert (estimate.low, estimate.mean, estimate.high) == (7, 7, 7)
    assert np.isnan(found.cells[0, 1].by_turn["score"][1:]).all()


def test_intervals_are_about_two_standard_errors(tmp_path: Path) -> None:
    def noisy(cell: Cell) -> tuple[list[float], list[int]]:
        rng = np.random.default_rng([cell.guest, cell.hosts])
        points = rng.integers(26, size=1000).astype(float)
        return points.tolist(), np.flatnonzero(rng.random(1000) < 0.3).tolist()

    crossplay = made_up(tmp_path, ("a", "b"), ("hanabi:2",), 1000, noisy)
    found = matrix(crossplay, TWO)
    for key, cell in found.cells.items():
        played = crossplay.read(Cell(0, *sorted(key), TWO))
        for rule, estimate in cell.scores.items():
            error = played.outcome[rule].std(ddof=1) / 1000**0.5
            assert estimate.low < estimate.mean < estimate.high
            assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    assert found.cells[0, 0].scores["score"].mean < found.cells[0, 0].scores["points"].mean


def test_a_gap_knows_that_the_deals_were_the_same(tmp_path: Path) -> None:
    """Scores that differ by 3 whatever the deal: the gap is 3, without any doubt."""

    def shifted(cell: Cell) -> tuple[list[float], list[int]]:
        deals = np.random.default_rng(0).integers(20, size=500)
        return (deals + (3.0 if cell.guest == cell.hosts else 0.0)).tolist(), []

    found = matrix(made_up(tmp_path, ("a", "b", "c"), ("hanabi:3",), 500, shifted), THREE)
    assert found.gap is not None
    gap = found.gap["score"]
    assert (gap.low, gap.mean, gap.high) == pytest.approx((3, 3, 3))
    own = found.self_play["score"]
    assert own.high - own.low > 0.5


def test_every_cell_must_be_there(tmp_path: Path) -> None:
    crossplay = made_up(tmp_path, ("a", "b"), ("hanabi:2",), 4, by_hand)
    (tmp_path / next(crossplay.cells()).path).unlink()
    with pytest.raises(ValueError, match="1 cells of hanabi:2 have not been played yet"):
        matrix(crossplay, TWO)
