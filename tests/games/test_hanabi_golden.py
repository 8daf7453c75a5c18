"""The golden games play as they did: same seeds, same cards, same sentences."""

from __future__ import annotations

import pytest

from tests.games.hanabi_golden import path, recorded, transcript


@pytest.mark.parametrize("players", [2, 3, 4, 5])
def test_golden_game(players: int) -> None:
    expected = path(players).read_text(encoding="utf-8").splitlines()
    assert list(transcript(players, recorded(players))) == expected
