"""The conformance kit passes what is right and refuses what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from games import testing
from games.core import Step
from tests.games.toys import Crowd, Sleepers, Toy, Turns


def decode(facts: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for fact in facts:
        words = fact.split(" ")
        told["number" if words[0] == "my" else "turns"] = int(words[3 if words[0] == "my" else 0])
    return told


def turns_truth(game: Turns, index: int, seat: int) -> dict[str, Any]:
    return {"number": int(game.hidden[index, seat]), "turns": int(game.turn[index])}


def turns_scramble(game: Turns, seat: int) -> None:
    state = game.state()
    state["hidden"][:, 1 - seat] = (state["hidden"][:, 1 - seat] + 1) % 6
    game.load_state(state)


def test_a_game_of_turns() -> None:
    testing.check_all(Turns, decode=decode, truth=turns_truth, scramble=turns_scramble, steps=60)


def test_a_game_of_all_at_once_in_which_agents_come_and_go() -> None:
    testing.check_all(Crowd, steps=60)
    met, ended = set(), set()
    for episodes in testing.transcribe(Crowd(8, 0, True), 60):
        for episode in episodes:
            met |= {turn.seats for turn in episode}
            ended |= {(turn.terminated, turn.truncated) for turn in episode}
    assert {(0, 1), (0, 1, 2), (2,)} <= met
    assert any(sum(cut) for _, cut in ended)


def test_a_game_in_which_nobody_may_be_due() -> None:
    testing.check_all(Sleepers, steps=60)


def test_golden_games(tmp_path: Path) -> None:
    path = tmp_path / "crowd.json"
    testing.write_golden(path, Crowd, seed=4)
    testing.check_golden(path, Crowd)

    class Kinder(Crowd):
        def _told(self, game: int, seat: int) -> list[str]:
            return ["my number is 0", *super()._told(game, seat)[1:]]

    with pytest.raises(AssertionError, match=r"crowd.json, turn \d+: facts of seat \d: \['my numb"):
        testing.check_golden(path, Kinder)


class Unsorted(Crowd):
    def _show(self) -> None:
        super()._show()
        self.due_seat = self.due_seat[::-1].copy()


class Padded(Turns):
    def _show(self) -> None:
        super()._show()
        self.facts[:, 2] = 0


class Forgetful(Turns):
    STATE = Toy.STATE


class Leaky(Turns):
    def _told(self, game: int, seat: int) -> list[str]:
        return [*super()._told(game, seat), f"the answer was {self.hidden[game, 1 - seat]}"]


class Wrong(Turns):
    def _told(self, game: int, seat: int) -> list[str]:
        return [f"my number is {self.hidden[game, 1 - seat]}", super()._told(game, seat)[1]]


class Shared(Turns):
    """Draws from a generator that all batches share."""

    def _told(self, game: int, seat: int) -> list[str]:
        return [f"the answer was {np.random.randint(6)}", *super()._told(game, seat)]  # noqa: NPY002


class Careless(Turns):
    def step(self, move_index: np.ndarray) -> Step:
        return super().step(np.clip(np.asarray(move_index, int), 0, 2))


class Endless(Turns):
    max_turns = 4


class Twice(Turns):
    def _play(self, said: np.ndarray) -> tuple[Any, ...]:
        rewards, ended, cut, over = super()._play(said)
        return rewards, ended | cut, cut, over


class Late(Crowd):
    """Pays those that have left."""

    def _play(self, said: np.ndarray) -> tuple[Any, ...]:
        rewards, *rest = super()._play(said)
        return np.ones_like(rewards), *rest


class Seedless(Turns):
    def _begin(self, games: np.ndarray) -> None:
        super()._begin(games)
        self.hidden = (self.hidden + self.num_games) % 6


class Restless(Turns):
    def __init__(self, num_games: int, seed: int, restart: bool) -> None:
        super().__init__(num_games, seed, True)


@pytest.mark.parametrize(
    ("game", "check", "words"),
    [
        (Unsorted, testing.check_play, "not sorted and unique"),
        (Padded, testing.check_play, "facts are not PAD beyond their count"),
        (Endless, testing.check_play, "had turn 5, but max_turns is 4"),
        (Twice, testing.check_play, "terminated and truncated"),
        (Late, testing.check_play, "never receive their rewards"),
        (Shared, testing.check_seeds, "played twice"),
        (Seedless, testing.check_seeds, "alone"),
        (Forgetful, testing.check_state, "after load_state"),
        (Restless, testing.check_restart, "a seat of a finished game is due|no end within"),
        (Careless, testing.check_refusals, "was not refused"),
    ],
)
def test_what_is_wrong_is_found(game: type[Toy], check: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(game, 4, 40) if check is not testing.check_refusals else check(game, 4)


def test_what_is_hidden_or_untrue_is_found() -> None:
    with pytest.raises(AssertionError, match="what is hidden from seat 0 changed what it observes"):
        testing.check_hidden(Leaky, turns_scramble)
    with pytest.raises(AssertionError, match="nothing was tested"):
        testing.check_hidden(Turns, lambda game, seat: None)
    with pytest.raises(AssertionError, match=r"number reads [0-5], is [0-5]"):
        testing.check_decoding(Wrong, decode, turns_truth)
