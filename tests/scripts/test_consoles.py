from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import games
from agents.bots import parcels
from games.gameboy.play import by_sentences
from games.gameboy.record import KeyRecord
from scripts.cli import main
from tests.games.gameboy_players import play


def test_the_partner_by_rules_sorts_everything_with_its_like() -> None:
    game = games.batched("parcels", num_games=2, seed=8)
    assert play(game, parcels.sort, 2) == [24, 24]


def test_replay_films_a_recorded_game(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    up, nothing = [64], [0] * 9
    record = KeyRecord("blocks", 3, {"level": 9}, [(up + nothing) * 6], ["you"])
    file, gif = tmp_path / "game.json", tmp_path / "game.gif"
    record.save(file)
    assert main(["replay", str(file), "--gif", str(gif)]) == 0
    assert "blocks, you: 0 lines, 6 pieces" in capsys.readouterr().out
    with Image.open(gif) as image:
        assert image.size == (320, 288)


def test_what_cannot_be_played_or_filmed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "old.json"
    for args, why in (
        (["play", "blocks", "--with", "bot:smart"], "blocks is played alone"),
        (["play", "parcels", "--with", "a", "--with", "b"], "seats one partner"),
        (["play", "parcels", "--seed", "-1"], "--seed cannot be negative"),
        (["play", "hanabi", "--watch", "hanabi"], "--watch has an agent play blocks or parcels"),
        (["play", "parcels", "--watch", "a", "--with", "b"], "without --with"),
        (["play", "parcels@emulated=false", "--watch", "a"], "leave emulated=false out"),
        (["play", "blocks"], "there is no terminal to play in"),
        (["replay", str(file), "--gif", "x.gif"], "--gif films games on consoles"),
    ):
        file.write_text("{}")
        assert main(args) == 2
        assert why in capsys.readouterr().err
    file.write_text('{"game": "blocks", "seed": 1, "keys": [[[300, 1]]]}')
    assert main(["replay", str(file)]) == 2
    assert "a mask of keys must be 0 to 255" in capsys.readouterr().err


def test_a_seat_is_asked_for_its_own_row() -> None:
    game = games.batched("parcels", num_games=1, restart=False)
    seat = by_sentences(lambda facts, choices: choices[-1])(game)  # type: ignore[arg-type]
    assert seat() == game.choice_counts[1] - 1
    assert np.array_equal(game.due_seat, [0, 1])


def test_an_agent_is_watched_and_its_game_is_filmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal it is only played and saved."""
    for setting, agent in (("blocks@pieces=12", "blocks"), ("parcels@parcels=2@pace=4", "parcels")):
        file = tmp_path / f"{agent}.json"
        assert main(["play", setting, "--watch", agent, "--seed", "2", "--save", str(file)]) == 0
        played = capsys.readouterr().out.splitlines()[0]
        assert main(["replay", str(file)]) == 0
        assert f": {played}\n" in capsys.readouterr().out, "the same game, to the last frame"
    assert played == "4 right"


def test_a_score_has_two_meanings_only_where_games_are_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setting = "blocks@emulated=false@pieces=5"
    assert main(["evaluate", "blocks", setting, "--games", "2"]) == 0
    said = capsys.readouterr().out
    assert "score" in said
    assert "lost" not in said
