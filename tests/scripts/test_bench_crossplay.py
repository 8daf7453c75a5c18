"""The peer of the cross-play bench plays by the very rules of our own player."""

from __future__ import annotations

import random

import numpy as np
import pytest

from agents import bots
from agents.bots import make
from games.hanabi import HanabiBatched, HanabiConfig
from marl.acting.table import observe
from scripts.bench.crossplay import iggi, run
from tests.games.hanabi_reference import whole_deck, write_move

pyhanabi = pytest.importorskip("hanabi_learning_environment.pyhanabi")


class Lots(random.Random):
    """Tells whether it was asked."""

    asked = False

    def randrange(self, *args: int) -> int:  # type: ignore[override]
        self.asked = True
        return super().randrange(*args)


@pytest.mark.parametrize("players", [2, 3, 5])
def test_the_peer_moves_as_our_player_does(players: int) -> None:
    game = pyhanabi.HanabiGame({"players": players, "random_start_player": False, "seed": players})
    config = HanabiConfig(players=players)
    ours = make("iggi")
    compared = 0
    for number in range(15):
        state = game.new_initial_state()
        drawn: list[tuple[int, int]] = []
        moves: list[tuple[str, bool]] = []
        lots = Lots(number)
        while not state.is_terminal():
            if state.cur_player() == pyhanabi.CHANCE_PLAYER_ID:
                before = [list(map(str, hand)) for hand in state.player_hands()]
                state.deal_random_card()
                after = [list(map(str, hand)) for hand in state.player_hands()]
                (card,) = {
                    hand[-1]
                    for hand, old in zip(after, before, strict=True)
                    if len(hand) > len(old)
                }
                drawn.append(("RYGWB".index(card[0]), int(card[1]) - 1))
            else:
                lots.asked = False
                move = iggi(state.observation(state.cur_player()), lots)
                moves.append((str(move), lots.asked))
                state.apply_move(move)
        batch = HanabiBatched(config, 1, restart=False)
        batch.reset(decks=[whole_deck(config, drawn)])
        for move, chance in moves:
            choice = int(
                ours.act(observe(batch), np.zeros((1, ours.memory_size), np.float32))[0][0]
            )
            legal = [write_move(c) for c in batch.choices[0, : batch.choice_counts[0]].tolist()]
            if chance:
                assert legal[choice].startswith("(Reveal")
            else:
                compared += 1
                assert legal[choice] == move
            batch.step(np.array([legal.index(move)]))
    assert compared > 500


def test_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bots, "NAMES", ("iggi", "piers"))  # the others take long to compile
    rows = list(run(8))
    assert [row.unit for row in rows] == 4 * ["moves/s"] + ["s", "games/s", "s", *2 * ["games/s"]]
    assert [row.what for row in rows[1:3]] == ["bot:iggi, 5 players", "bot:piers, 2 players"]
    assert all(row.value > 1000 for row in rows[:4] if row.value is not None)
    assert rows[4].what == "3 pairings of 2 bots, 2 players, 1000 games each"
    ours, theirs = rows[-2:]
    assert (ours.against, theirs.unit) == (None, "games/s")
    assert theirs.against is not None
    assert "hanabi-learning-environment" in theirs.against
    assert theirs.value is not None
    assert ours.value is not None
    assert theirs.ratio == pytest.approx(ours.value / theirs.value)
