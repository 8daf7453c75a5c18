from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import games
from games.gameboy import sorting
from games.gameboy.batch import ConsoleBatch
from games.gameboy.parcels import ParcelsBatched
from tests.games.gameboy_players import play, sorter


def batched(**options) -> ParcelsBatched:
    game = games.batched("parcels", **{"num_games": 4, **options})
    assert isinstance(game, ParcelsBatched)
    return game


def test_what_can_be_reached() -> None:
    assert sorting.alone() == 6
    assert sorting.tell_everything() == pytest.approx(12.44, abs=0.005)
    assert sorting.convention() == 24
    assert sorting.silent() == 24
    assert sorting.silent(rows=4) == pytest.approx(23.31, abs=0.005)  # too short for all answers
    assert sorting.silent(late=4) == 6  # a message and its answer take longer than a fall
    assert sorting.convention(sparks=0) == pytest.approx(18.19, abs=0.005)
    assert len(sorting.perfect_codes()) == 2


def test_telling_everything_is_simulated_as_it_is_computed() -> None:
    rng = np.random.default_rng(0)
    total = 0
    for _ in range(4000):
        sparks = 4
        for _ in range(12):
            told = min(sparks, 2)
            sparks -= told
            right = rng.random() < (0.25, 0.5, 1.0)[told]
            sparks, total = min(sparks + right, 9), total + right
    assert 2 * total / 4000 == pytest.approx(sorting.tell_everything(), abs=0.15)


def test_a_convention_sorts_everything_on_the_cartridges() -> None:
    for code in sorting.perfect_codes():
        assert play(batched(seed=5), sorter(code), 4) == [24] * 4


def test_telling_everything_falls_short_on_the_cartridges() -> None:
    scores = play(batched(num_games=16), sorter(None), 48)
    error = np.std(scores) / np.sqrt(len(scores))
    assert abs(np.mean(scores) - sorting.tell_everything()) < 4 * error
    assert error < 0.6


def test_nobody_wins_alone() -> None:
    scores = play(batched(num_games=16), lambda facts, choices: "I wait", 48)
    assert abs(np.mean(scores) - sorting.alone()) < 4 * np.std(scores) / np.sqrt(len(scores))
    rng = np.random.default_rng(0)
    chance = play(batched(num_games=16), lambda _, choices: str(rng.choice(choices)), 32)
    assert abs(np.mean(chance) - sorting.alone()) < 4 * np.std(chance) / np.sqrt(len(chance))


def test_late_presses_cost_less_to_who_knows_them() -> None:
    (code, _) = sorting.perfect_codes()

    def score(**options) -> float:
        return float(np.mean(play(batched(pace=4, every=2, parcels=6, **options), sorter(code), 4)))

    knows, sequential = score(delay=6), score(delay=6, schedule="sequential")
    assert knows == 12
    assert sequential < knows
    assert score(delay=6, pending=False) < knows


def truth(game: ParcelsBatched, index: int, seat: int) -> dict[str, Any]:
    mine, theirs = game.ram[index, seat], game.ram[index, 1 - seat]
    told = {bit for bit in (1, 2) if theirs["i_told"] & bit}
    return {
        "stamp": int(theirs["stamp"]),
        "lanes": (int(mine["lane"]), int(theirs["lane"])),
        "sparks": (int(mine["sparks"]), int(theirs["sparks"])),
        "told": {(bit, int(mine["stamp"]) & bit) for bit in told},
        "row": int(mine["row"]),
    }


def decode(facts: list[str]) -> dict[str, Any]:
    from games.gameboy.parcels import STAMPS

    found: dict[str, Any] = {"told": set(), "lanes": (0, 0), "sparks": (0, 0)}
    for fact in facts:
        words = fact.split()
        mine = words[0] in ("my", "I")
        if "crane" in words:
            lane = STAMPS.index(" ".join(words[-2:]))
            found["lanes"] = (lane, found["lanes"][1]) if mine else (found["lanes"][0], lane)
        elif fact.startswith("partner A parcel is"):
            found["stamp"] = STAMPS.index(" ".join(words[-2:]))
        elif words[-1] == "sparks":
            n = int(words[-2])
            found["sparks"] = (n, found["sparks"][1]) if mine else (found["sparks"][0], n)
        elif fact.startswith("my parcel is "):
            bit, value = {"white": (1, 0), "black": (1, 1), "round": (2, 0), "square": (2, 2)}[
                words[-1]
            ]
            found["told"].add((bit, value))
        elif "fallen" in words:
            found["row"] = int(words[4])
    return found


def scramble(game: ParcelsBatched, seat: int) -> None:
    """Another stamp where nothing was told of it, on the console that hides it only."""
    mine = game.ram[:, seat]
    mine["stamp"] = np.where(mine["told"] == 0, mine["stamp"] ^ 3, mine["stamp"])
    game.refresh()


def test_facts_are_what_the_consoles_hold_and_the_own_stamp_never_shows() -> None:
    game = batched(seed=2)
    rng = np.random.default_rng(0)
    for _ in range(60):
        for index in range(4):
            for seat in (0, 1):
                row = int(np.flatnonzero((game.due_game == index) & (game.due_seat == seat))[0])
                said = decode(game.phrasebook.render(game.facts[row]))
                assert said == truth(game, index, seat)
                before = game.facts[row].copy(), game.choices[row].copy(), game.labels[row].copy()
                scramble(game, seat)
                assert (game.facts[row] == before[0]).all()
                assert (game.choices[row] == before[1]).all()
                game.ram[:, seat]["stamp"] = game.ram[:, 1 - seat]["their_stamp"]
                game.refresh()
                assert (game.labels[row] == before[2]).all()
        step = game.step((rng.random(8) * game.choice_counts).astype(np.int64))
        assert (step.rewards[:, 0] == step.rewards[:, 1]).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"pace": 1}, "pace must be 2 to 250, got 1"),
        ({"parcels": 0}, "parcels must be 1 to 48"),
        ({"sparks": 10}, "sparks must be 0 to 9"),
        ({"players": 3}, "played by 2 players, got 3"),
    ],
)
def test_bad_options(options, match) -> None:
    with pytest.raises(ValueError, match=match):
        batched(**options)


@pytest.mark.parametrize(
    "name", ["parcels@parcels=2", "parcels@parcels=2@delay=4@schedule=sequential"]
)
def test_parcels_keeps_the_promises_of_a_game(name: str) -> None:
    testing = pytest.importorskip("games.testing")
    batches: list[ConsoleBatch] = []

    def make(num_games: int, seed: int, restart: bool) -> ConsoleBatch:
        batches.append(games.parse(name)[0].batched(num_games, seed, restart))  # type: ignore[arg-type]
        return batches[-1]

    testing.check_all(make, steps=24)
    for batch in batches:
        batch.close()


def test_the_table_of_the_docs_is_what_the_solver_prints() -> None:
    from pathlib import Path

    table = subprocess.run(
        [sys.executable, "-m", "games.gameboy.sorting"], capture_output=True, text=True, check=True
    ).stdout
    docs = (Path(__file__).parents[2] / "docs" / "gameboy.md").read_text(encoding="utf-8")
    assert table in docs
