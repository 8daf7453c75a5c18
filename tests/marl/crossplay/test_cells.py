"""Seats of different holders: who acts where, what is remembered, and how a folder is resumed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import games
from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from marl.acting.evaluate import evaluate
from marl.acting.table import observe
from marl.crossplay.cells import (
    Cell,
    Crossplay,
    CrossplayConfig,
    Played,
    enter,
    fingerprint,
    play_table,
)
from tests.marl.players import Acted, Hashing, entrant, exported, play_all


def small(players: int, n: int, seed: int) -> games.BatchedGame:
    return games.batched("hanabi", n, seed, players=players, preset="small")


def one_at_a_time(policies: list[Hashing], seating: NDArray[np.int64], seed: int) -> Played:
    """The plainest way: a game after the other, a memory a seat, a call a move."""
    points, lost, turns = [], [], []
    for i, holders in enumerate(seating):
        game = small(len(holders), 1, seed + i)
        memory = [np.zeros((1, 2), np.float32) for _ in holders]
        moves = 0
        while True:
            seat = int(game.seat[0])
            move, _, memory[seat] = policies[holders[seat]].act(observe(game), memory[seat])
            step = game.step(move)
            moves += 1
            if step.terminated[0]:
                break
        points.append(step.scores[0])
        lost.append(step.lost[0])
        turns.append(moves)
    return Played(np.array(points), np.array(lost), np.array(turns, np.int32))


@pytest.mark.parametrize("players", [2, 3, 4, 5])
def test_mixed_tables_play_as_games_of_their_own(players: int) -> None:
    policies = [Hashing(1), Hashing(2), Hashing(5)]
    seating = np.random.default_rng(0).integers(3, size=(40, players))
    together = play_table(policies, seating, small(players, 40, 7))
    apart = one_at_a_time(policies, seating, 7)
    np.testing.assert_array_equal(together.points, apart.points)
    np.testing.assert_array_equal(together.lost, apart.lost)
    np.testing.assert_array_equal(together.turns, apart.turns)
    assert len(np.unique(together.turns)) > 5
    assert 0 < together.lost.sum() < 40
    # Who sits where matters.
    other = play_table(policies, (seating + 1) % 3, small(players, 40, 7))
    assert (together.turns != other.turns).any()


def test_one_holder_of_all_seats_is_evaluation() -> None:
    alone = play_table([Hashing(3)], np.zeros((30, 4), np.int64), small(4, 30, 11))
    known = evaluate(Hashing(3), lambda n, seed: small(4, n, seed), 30, 11)
    np.testing.assert_array_equal(alone.points, known.points)
    np.testing.assert_array_equal(alone.scores("zero"), known.scores("zero"))
    np.testing.assert_array_equal(alone.scores("kept"), known.scores("kept"))
    np.testing.assert_array_equal(alone.turns, known.turns)


def test_a_policy_is_called_once_a_step() -> None:
    one, other = Hashing(1), Hashing(2)
    cell = Cell(5, 0, 1)
    played = play_table([one, other], cell.seating(50), small(5, 50, 0))
    assert one.calls <= played.turns.max()
    assert other.calls <= played.turns.max()


def test_ends_are_told_as_they_come() -> None:
    told: list[int] = []
    play_table([Hashing(1)], np.zeros((25, 2), np.int64), small(2, 25, 0), told.append)
    assert sum(told) == 25
    assert len(told) > 3


def test_a_seating_must_fit() -> None:
    with pytest.raises(ValueError, match=r"seating must have shape \(4, 3\), got \(4, 2\)"):
        play_table([Hashing(1)], np.zeros((4, 2), np.int64), small(3, 4, 0))


@pytest.mark.parametrize("players", [2, 3, 4, 5])
def test_the_guest_sits_everywhere_as_often(players: int) -> None:
    seating = Cell(players, 0, 1).seating(60)
    assert ((seating == 0).sum(1) == 1).all()
    assert Counter(seating.argmin(1).tolist()) == dict.fromkeys(range(players), 60 // players)


def test_every_pairing_and_mix_is_a_cell(tmp_path: Path) -> None:
    config = CrossplayConfig(("a", "b", "c"), (2, 4), games=4, variant="small")
    crossplay = Crossplay.open(config, [entrant(n, i) for i, n in enumerate("abc")], tmp_path)
    two = [(c.guest, c.hosts) for c in crossplay.cells() if c.players == 2]
    four = [(c.guest, c.hosts) for c in crossplay.cells() if c.players == 4]
    assert two == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    assert sorted(four) == [(a, b) for a in range(3) for b in range(3)]
    assert crossplay.pending() == list(crossplay.cells())


def test_a_cell_holds_what_was_played(tmp_path: Path) -> None:
    crossplay = play_all(tmp_path, "ab", (3,), games=15)
    policies = [crossplay.entrants[0].policy, crossplay.entrants[1].policy]
    for guest, hosts in ((0, 1), (1, 0), (1, 1)):
        cell = Cell(3, guest, hosts)
        expected = one_at_a_time(
            [policies[guest], policies[hosts]],  # type: ignore[list-item]
            cell.seating(15),
            crossplay.config.seed,
        )
        found = crossplay.read(cell)
        np.testing.assert_array_equal(found.points, expected.points)
        np.testing.assert_array_equal(found.lost, expected.lost)
        np.testing.assert_array_equal(found.turns, expected.turns)


# --- folders ----------------------------------------------------------------------------------


def test_an_interrupted_one_goes_on(tmp_path: Path) -> None:
    whole = play_all(tmp_path / "whole")
    config, entrants = whole.config, whole.entrants
    half = Crossplay.open(config, entrants, tmp_path / "half")
    for cell in half.pending()[:4]:
        half.play(cell)
    # A process that was killed while it wrote leaves this behind.
    (tmp_path / "half" / "cells" / "2p-01-02.json.123.tmp").write_text('{"players"')
    again = Crossplay.open(config, entrants, tmp_path / "half")
    assert again.pending() == list(whole.cells())[4:]
    for cell in again.pending():
        again.play(cell)
    assert again.pending() == []
    for file in (tmp_path / "whole").rglob("*.json"):
        other = tmp_path / "half" / file.relative_to(tmp_path / "whole")
        assert file.read_bytes() == other.read_bytes()


def test_a_failed_cell_leaves_no_file(tmp_path: Path) -> None:
    class Failing(Hashing):
        def act(self, observations: Observations, memory: NDArray[np.float32]) -> Acted:
            if memory.shape[0] > 1 and memory[0, 1] > 0:
                raise RuntimeError("power cut")
            return super().act(observations, memory)

    config = CrossplayConfig(("a",), (2,), games=4, variant="small")
    crossplay = Crossplay.open(config, [replace(entrant("a", 1), policy=Failing(1))], tmp_path)
    (cell,) = crossplay.pending()
    with pytest.raises(RuntimeError):
        crossplay.play(cell)
    assert crossplay.pending() == [cell]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 4}, r"seed was 3, now 4\): name another folder"),
        ({"games": 13}, "games was 12, now 13"),
        ({"players": (2,)}, r"players was \[2, 3\], now \[2\]"),
        ({"variant": "very-small"}, "variant was small, now very-small"),
        ({"agents": ("a", "b", "d")}, "agents was"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, change: dict, said: str) -> None:  # type: ignore[type-arg]
    first = play_all(tmp_path)
    config = replace(first.config, **change)
    entrants = [replace(e, name=n) for e, n in zip(first.entrants, config.agents, strict=True)]
    with pytest.raises(ValueError, match=said):
        Crossplay.open(config, entrants, tmp_path)


def test_an_agent_that_learned_on_is_another(tmp_path: Path) -> None:
    first = play_all(tmp_path)
    entrants = [*first.entrants[:1], replace(first.entrants[1], fingerprint="new"), entrant("c", 2)]
    with pytest.raises(ValueError, match="holds games of b with other weights"):
        Crossplay.open(first.config, entrants, tmp_path)


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="holds other files"):
        play_all(tmp_path)
    (tmp_path / "thesis.tex").unlink()
    play_all(tmp_path)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json is damaged"):
        play_all(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"points":[1],"lost":[],"turns":[1]}'])
def test_a_damaged_cell_is_named(tmp_path: Path, text: str) -> None:
    crossplay = play_all(tmp_path)
    cell = next(crossplay.cells())
    (tmp_path / cell.path).write_text(text)
    with pytest.raises(ValueError, match=r"2p-00-00\.json is damaged: remove it"):
        crossplay.read(cell)


# --- who can play -----------------------------------------------------------------------------


class Duellist(Hashing):
    """Knows games of two only, and says so when it sees another."""

    def act(self, observations: Observations, memory: NDArray[np.float32]) -> Acted:
        if observations.facts[0, 0] != 2:  # "the game has 2 players"
            raise ValueError("it plays with two")
        return super().act(observations, memory)


def test_who_cannot_play_is_left_out(tmp_path: Path) -> None:
    entrants = [
        entrant("a", 1, lambda players: "it is shy" if players == 2 else None),
        replace(entrant("b", 2), policy=Duellist(2)),
        entrant("c", 3),
    ]
    config = CrossplayConfig(("a", "b", "c"), (2, 3), games=4, variant="small")
    crossplay = Crossplay.open(config, entrants, tmp_path)
    assert crossplay.unable == {2: {0: "it is shy"}, 3: {1: "it plays with two"}}
    assert {(c.guest, c.hosts) for c in crossplay.cells() if c.players == 2} == {
        (1, 1),
        (1, 2),
        (2, 2),
    }
    assert all(1 not in (c.guest, c.hosts) for c in crossplay.cells() if c.players == 3)


def test_somebody_must_be_able(tmp_path: Path) -> None:
    config = CrossplayConfig(("b",), (2, 3), variant="small")
    with pytest.raises(ValueError, match="nobody can play with 3 players: b: it plays with two"):
        Crossplay.open(config, [replace(entrant("b", 2), policy=Duellist(2))], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_agent_without_text_plays_what_it_knows(tmp_path: Path) -> None:
    vector = exported(tmp_path / "v", {"encoder": "vector"}, players="2,4", variant="small")
    text = exported(tmp_path / "t", {}, players="2", variant="small")
    config = CrossplayConfig((vector, text), (2, 3, 4), games=2, variant="small")
    entrants = [enter(name, config) for name in config.agents]
    assert [entrants[0].restriction(n) is None for n in (2, 3, 4)] == [True, False, True]
    assert all(entrants[1].restriction(n) is None for n in (2, 3, 4))
    reason = entrants[0].restriction(3)
    assert reason == (
        "it reads no text, and knows only what it was trained on (2, 4 players, small rules)"
    )
    assert enter(vector, replace(config, variant="full")).restriction(2) is not None
    crossplay = Crossplay.open(config, entrants, tmp_path / "out")
    assert set(crossplay.unable[3]) == {0}
    crossplay.play(Cell(2, 0, 1))
    assert len(crossplay.read(Cell(2, 0, 1)).points) == 2
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert len(set(settings["fingerprints"])) == 2


def test_a_fingerprint_is_of_the_weights() -> None:
    book = small(2, 1, 0).phrasebook
    shape = R3D2Config(text_hidden=32, hidden=16, encoder="vector")
    one, same, other = (fingerprint(R3D2Agent(shape, book, seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert len(one) == 16
    assert fingerprint(Hashing(1)) == ""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"agents": ()}, "name at least one"),
        ({"agents": ("a", "b", "a")}, "agent a is named twice"),
        ({"players": ()}, "needs a number of players"),
        ({"players": (2, 2)}, "number of players 2 is named twice"),
        ({"players": (1,)}, "needs 2 players or more, got 1"),
        ({"games": 0}, "games must be at least 1, got 0"),
        ({"seed": -1}, "cannot be negative, got -1"),
    ],
)
def test_bad_settings(values: dict, said: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=said):
        CrossplayConfig(**{"agents": ("a",), **values})
