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
from games import Setting
from marl.acting.evaluate import evaluate
from marl.acting.table import Played, observe, play
from marl.crossplay.cells import Cell, Crossplay, CrossplayConfig, enter, fingerprint
from marl.crossplay.matrix import matrix
from marl.runs import roster
from tests.marl.players import Acted, Hashing, entrant, exported, play_all


def setting(players: int) -> Setting:
    return Setting("hanabi", players, {"preset": "small"})


def small(players: int, n: int, seed: int) -> games.BatchedGame:
    return setting(players).batched(n, seed)


def assert_same(one: Played, other: Played) -> None:
    """The same games, whatever is known of them."""
    assert list(one.outcome) == list(other.outcome) == ["score", "points", "lost"]
    for name, values in one.outcome.items():
        np.testing.assert_array_equal(values, other.outcome[name])
    for name in ("returns", "truncated", "turns"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def one_at_a_time(policies: list[Hashing], seating: NDArray[np.int64], seed: int) -> Played:
    """The plainest way: a game after the other, a memory a seat, a call a move."""
    outcome: dict[str, list[float]] = {"score": [], "points": [], "lost": []}
    returns, turns = [], []
    for i, holders in enumerate(seating):
        game = small(len(holders), 1, seed + i)
        memory = [np.zeros((1, 2), np.float32) for _ in holders]
        earned, moves = np.zeros(len(holders), np.float32), 0
        while True:
            seat = int(game.due_seat[0])
            move, _, memory[seat] = policies[holders[seat]].act(observe(game), memory[seat])
            step = game.step(move)
            earned += step.rewards[0]
            moves += 1
            if step.over[0]:
                break
        for name, values in outcome.items():
            values.append(float(step.outcome[name][0]))
        returns.append(earned)
        turns.append(moves)
    return Played(
        {name: np.array(values, np.float32) for name, values in outcome.items()},
        np.array(returns),
        np.zeros(len(seating), np.bool_),
        np.array(turns, np.int32),
    )


def test_a_manager_is_seated_like_everybody_else(tmp_path: Path) -> None:
    name = "supply-chain:2@periods=3@manager=incentives"
    crossplay = play_all(tmp_path / "cells", "ab", (name,), games=6)
    (managed,) = crossplay.config.parsed()
    cell = Cell(0, 0, 1, managed)
    assert cell.seating(3).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    figures = matrix(crossplay, managed).cells[0, 1]
    assert len(figures.by_turn["raw"]) == 3
    assert len(list(crossplay.cells())) == 4  # one among two others is no pairing


@pytest.mark.parametrize("players", [2, 3, 4, 5])
def test_mixed_tables_play_as_games_of_their_own(players: int) -> None:
    policies = [Hashing(1), Hashing(2), Hashing(5)]
    seating = np.random.default_rng(0).integers(3, size=(40, players))
    together = play(small(players, 40, 7), policies, seating)
    assert_same(together, one_at_a_time(policies, seating, 7))
    assert len(np.unique(together.turns)) > 5
    assert 0 < together.outcome["lost"].sum() < 40
    # Who sits where matters.
    other = play(small(players, 40, 7), policies, (seating + 1) % 3)
    assert (together.turns != other.turns).any()


def test_one_holder_of_all_seats_is_evaluation() -> None:
    alone = play(small(4, 30, 11), [Hashing(3)], np.zeros((30, 4), np.int64))
    known = evaluate(Hashing(3), setting(4), 30, 11)
    assert_same(alone, known.played)
    for name in ("score", "points", "lost"):
        np.testing.assert_array_equal(alone.outcome[name], known.outcome(name))


def test_a_policy_is_called_once_a_step() -> None:
    one, other = Hashing(1), Hashing(2)
    cell = Cell(0, 0, 1, setting(5))
    played = play(small(5, 50, 0), [one, other], cell.seating(50))
    assert one.calls <= played.turns.max()
    assert other.calls <= played.turns.max()


def test_ends_are_told_as_they_come() -> None:
    told: list[int] = []
    play(small(2, 25, 0), [Hashing(1)], np.zeros((25, 2), np.int64), told.append)
    assert sum(told) == 25
    assert len(told) > 3


def test_a_seating_must_fit() -> None:
    with pytest.raises(ValueError, match=r"seating must have shape \(4, 3\), got \(4, 2\)"):
        play(small(3, 4, 0), [Hashing(1)], np.zeros((4, 2), np.int64))


@pytest.mark.parametrize("players", [2, 3, 4, 5])
def test_the_guest_sits_everywhere_as_often(players: int) -> None:
    seating = Cell(0, 0, 1, setting(players)).seating(60)
    assert ((seating == 0).sum(1) == 1).all()
    assert Counter(seating.argmin(1).tolist()) == dict.fromkeys(range(players), 60 // players)


def test_every_pairing_and_mix_is_a_cell(tmp_path: Path) -> None:
    config = CrossplayConfig(("a", "b", "c"), ("hanabi:2,4@small",), games=4)
    crossplay = Crossplay.open(config, [entrant(n, i) for i, n in enumerate("abc")], tmp_path)
    two = [(c.guest, c.hosts) for c in crossplay.cells() if c.setting == setting(2)]
    four = [(c.guest, c.hosts) for c in crossplay.cells() if c.setting == setting(4)]
    assert two == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    assert sorted(four) == [(a, b) for a in range(3) for b in range(3)]
    assert crossplay.pending() == list(crossplay.cells())


def test_a_cell_holds_what_was_played(tmp_path: Path) -> None:
    crossplay = play_all(tmp_path, "ab", ("hanabi:3@small",), games=15)
    policies = [crossplay.entrants[0].policy, crossplay.entrants[1].policy]
    for guest, hosts in ((0, 1), (1, 0), (1, 1)):
        cell = Cell(0, guest, hosts, setting(3))
        expected = one_at_a_time(
            [policies[guest], policies[hosts]],  # type: ignore[list-item]
            cell.seating(15),
            crossplay.config.seed,
        )
        assert_same(crossplay.read(cell), expected)


# --- folders ----------------------------------------------------------------------------------


def test_an_interrupted_one_goes_on(tmp_path: Path) -> None:
    whole = play_all(tmp_path / "whole")
    config, entrants = whole.config, whole.entrants
    half = Crossplay.open(config, entrants, tmp_path / "half")
    for cell in half.pending()[:4]:
        half.play(cell)
    # A process that was killed while it wrote leaves this behind.
    (tmp_path / "half" / "cells" / "hanabi-2-small-01-02.json.123.tmp").write_text('{"setting"')
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

    config = CrossplayConfig(("a",), ("hanabi:2@small",), games=4)
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
        (
            {"settings": ("hanabi:2@small",)},
            r"settings was \['hanabi:2@small', 'hanabi:3@small'\], now \['hanabi:2@small'\]",
        ),
        (
            {"settings": ("hanabi:2-3@very-small",)},
            r"settings was .*, now \['hanabi:2@very-small', 'hanabi:3@very-small'\]",
        ),
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


CELL = {"outcome": {"score": [1] * 12}, "returns": [[1]] * 12, "truncated": [], "turns": [9] * 12}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", '{"outcome":[1]}'),
        json.dumps(CELL | {"outcome": {"score": [1] * 11}}),
        json.dumps(CELL | {"outcome": {"score": ["much"] * 12}}),
        json.dumps(CELL | {"returns": [[1, 2], [1]] * 6}),
        json.dumps(CELL | {"turns": [9] * 13}),
        json.dumps(CELL | {"turns": 9}),
    ],
)
def test_a_damaged_cell_is_named(tmp_path: Path, text: str) -> None:
    crossplay = play_all(tmp_path)
    cell = next(crossplay.cells())
    (tmp_path / cell.path).write_text(text)
    with pytest.raises(ValueError, match=r"hanabi-2-small-00-00\.json is damaged: remove it"):
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
        entrant("a", 1, lambda setting: "it is shy" if setting.players == 2 else None),
        replace(entrant("b", 2), policy=Duellist(2)),
        entrant("c", 3),
    ]
    config = CrossplayConfig(("a", "b", "c"), ("hanabi:2-3@small",), games=4)
    crossplay = Crossplay.open(config, entrants, tmp_path)
    assert crossplay.unable == {
        setting(2): {0: "it is shy"},
        setting(3): {1: "it plays with two"},
    }
    assert {(c.guest, c.hosts) for c in crossplay.cells() if c.setting.players == 2} == {
        (1, 1),
        (1, 2),
        (2, 2),
    }
    three = [(c.guest, c.hosts) for c in crossplay.cells() if c.setting.players == 3]
    assert three == [(0, 0), (0, 2), (2, 0), (2, 2)]


def test_somebody_must_be_able(tmp_path: Path) -> None:
    config = CrossplayConfig(("b",), ("hanabi:2-3@small",))
    with pytest.raises(ValueError, match="nobody can play hanabi:3@small: b: it plays with two"):
        Crossplay.open(config, [replace(entrant("b", 2), policy=Duellist(2))], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_agent_without_text_plays_what_it_knows(tmp_path: Path) -> None:
    vector = exported(tmp_path / "v", {"encoder": "vector"}, games=("hanabi:2,4@small",))
    text = exported(tmp_path / "t", {}, games=("hanabi:2@small",))
    config = CrossplayConfig((vector, text), ("hanabi:2-4@small",), games=2)
    entrants = [enter(roster.load(name)) for name in config.agents]
    assert [entrants[0].restriction(setting(n)) is None for n in (2, 3, 4)] == [True, False, True]
    assert all(entrants[1].restriction(setting(n)) is None for n in (2, 3, 4))
    assert entrants[0].restriction(setting(3)) == (
        "it reads no text, and knows only what it was trained on (hanabi:2@small, hanabi:4@small)"
    )
    assert entrants[0].restriction(Setting("hanabi", 2)) is not None
    crossplay = Crossplay.open(config, entrants, tmp_path / "out")
    assert set(crossplay.unable[setting(3)]) == {0}
    cell = Cell(0, 0, 1, setting(2))
    crossplay.play(cell)
    assert len(crossplay.read(cell).turns) == 2
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
        ({"settings": ()}, "name at least one game"),
        ({"settings": ("hanabi:2", "hanabi")}, "hanabi:2 is named twice"),
        ({"settings": ("hanabi:1",)}, "hanabi is played by 2, 3, 4, 5 players, got 1"),
        ({"settings": ("tracking",)}, "needs 2 players or more, tracking has one"),
        ({"games": 0}, "games must be at least 1, got 0"),
        ({"seed": -1}, "cannot be negative, got -1"),
    ],
)
def test_bad_settings(values: dict, said: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=said):
        CrossplayConfig(**{"agents": ("a",), "settings": ("hanabi:2",), **values})
