"""Names of settings: what can be written, that each setting has one name, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import games
from games import Setting, parse, parse_all
from games.settings import GAMES, GameInfo, complete, parse_numbers


def names(name: str) -> list[str]:
    return [setting.name for setting in parse(name)]


# --- what can be written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("hanabi", ["hanabi:2"]),
        ("hanabi:3", ["hanabi:3"]),
        ("hanabi:2-5", ["hanabi:2", "hanabi:3", "hanabi:4", "hanabi:5"]),
        ("hanabi:5,2-3", ["hanabi:2", "hanabi:3", "hanabi:5"]),
        ("hanabi@small", ["hanabi:2@small"]),
        ("hanabi:3@preset=small", ["hanabi:3@small"]),
        ("hanabi:2,3@very-small", ["hanabi:2@very-small", "hanabi:3@very-small"]),
        ("hanabi@ranks=3@colours=2", ["hanabi:2@colours=2@ranks=3"]),
        ("hanabi@small@bomb=keep", ["hanabi:2@bomb=keep@small"]),
        ("hanabi@life-tokens=1", ["hanabi:2@life_tokens=1"]),
        ("hanabi@glance=false@turn_limit=none", ["hanabi:2@glance=false@turn_limit=none"]),
        # A game for one number of players is known without it.
        ("tracking", ["tracking"]),
        ("tracking:1", ["tracking"]),
        ("tracking@noise=0.25@frames=10", ["tracking@frames=10@noise=0.25"]),
        ("tracking@noise=0.250", ["tracking@noise=0.25"]),
        ("tracking@frames=1e2", ["tracking@frames=100"]),
    ],
)
def test_every_setting_has_one_name(given: str, canonical: list[str]) -> None:
    assert names(given) == canonical
    for name, setting in zip(canonical, parse(given), strict=True):
        (again,) = parse(name)
        assert again == setting
        assert hash(again) == hash(setting)
        assert again.options == setting.options


def test_options_are_read_as_what_they_are() -> None:
    (setting,) = parse("hanabi:3@a=3@b=-2@c=0.5@d=true@e=false@f=none@g=word@h=x=y@i=")
    assert setting == Setting(
        "hanabi",
        3,
        {"i": "", "h": "x=y", "g": "word", "f": None, "e": False, "d": True, "c": 0.5, "b": -2}
        | {"a": 3},
    )
    assert list(setting.options) == list("abcdefghi")
    kinds = (int, int, float, bool, bool, type(None), str, str, str)
    assert tuple(type(value) for value in setting.options.values()) == kinds


def test_equal_values_make_equal_settings_and_others_do_not() -> None:
    assert Setting("hanabi", 2, {"ranks": 3.0}) == Setting("hanabi", 2, {"ranks": 3})
    assert len({Setting("hanabi", 2, {"ranks": 3.0}), Setting("hanabi", 2, {"ranks": 3})}) == 1
    different = [
        Setting("hanabi", 2),
        Setting("hanabi", 3),
        Setting("tracking", 1),
        *(Setting("hanabi", 2, {"ranks": value}) for value in (1, True, -1, 0.5, None, "one")),
        Setting("hanabi", 2, {"colours": 1}),
    ]
    assert len(set(different)) == len(different)
    assert Setting("hanabi", 2) != "hanabi:2"
    (ranks,) = Setting("hanabi", 2, {"ranks": 3.0}).options.values()
    assert type(ranks) is int
    assert parse("hanabi@ranks=3.0")[0].batched(1).max_score == 15


def test_files_of_different_settings_have_different_names() -> None:
    given = ("hanabi:2-3", "hanabi:2@small", "hanabi:2@x=1", "hanabi:2@x=-1", "hanabi:2@x=0.1")
    slugs = [setting.slug for setting in parse_all([*given, "tracking", "tracking@noise=0.1"])]
    assert len(set(slugs)) == len(slugs) == 8
    assert slugs[:3] == ["hanabi-2", "hanabi-3", "hanabi-2-small"]
    assert all(set(slug) <= {*"abcdefghijklmnopqrstuvwxyz0123456789.-"} for slug in slugs)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chess", "unknown game 'chess'; there are "),
        ("", "unknown game ''; there are "),
        (":3", "unknown game ''"),
        ("Hanabi", "unknown game 'Hanabi'"),
        ("hanabi:", 'players must look like "2", "2-5" or "2,4", got '),
        ("hanabi:two", "players must look like"),
        ("hanabi:2:3", "players must look like"),
        ("hanabi:2,", "players must look like"),
        ("hanabi:-2", "players must look like"),
        ("hanabi:5-2", "players '5-2' runs backwards: write 2-5"),
        ("hanabi:2-99999999999", "players '2-99999999999' are too many"),
        ("hanabi:1-2", "hanabi is played by 2, 3, 4, 5 players, got 1"),
        ("hanabi:6", "hanabi is played by 2, 3, 4, 5 players, got 6"),
        ("tracking:2", "tracking is played by 1 players, got 2"),
        ("hanabi@", "setting 'hanabi@': write each option once, as @name=value or @preset"),
        ("hanabi@@small", "write each option once"),
        ("hanabi@small@plain", "write each option once"),
        ("hanabi@small@preset=small", "write each option once"),
        ("hanabi@ranks=1@ranks=2", "write each option once"),
        ("hanabi@life-tokens=1@life_tokens=1", "write each option once"),
        ("hanabi@=3", "an option of hanabi has no name: write @name=value or @preset"),
        ("hanabi@players=3", "write the number of players as hanabi:3"),
    ],
)
def test_names_that_cannot_be_read(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        parse(name)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hanabi@huge", "unknown Hanabi preset 'huge'; there are full, plain, small, very-small"),
        ("hanabi@speed=3", "unknown Hanabi option 'speed'; there are preset, players, colours"),
        ("hanabi@ranks=6", "ranks must be a whole number from 1 to 5, got 6"),
        ("hanabi@ranks=many", "ranks must be a whole number from 1 to 5, got 'many'"),
        ("hanabi@glance=maybe", "glance must be true or false, got 'maybe'"),
        ("tracking@small", "unknown option 'preset' of tracking; there are cells, noise, frames"),
        ("tracking@cells=2", "cells must be at least 3, got 2"),
        ("tracking@cells=few", "cells must be a whole number, got 'few'"),
        ("tracking@cells=3.5", "cells must be a whole number, got 3.5"),
        ("tracking@noise=loud", "noise must be a number, got 'loud'"),
        ("tracking@noise=nan", "noise must lie between 0 and 0.5, got nan"),
    ],
)
def test_options_that_a_game_does_not_have(name: str, said: str) -> None:
    (setting,) = parse(name)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        setting.batched(1)
    assert said in str(caught.value)


def test_several_names() -> None:
    found = parse_all(["hanabi:4-5", "hanabi:2@small", "hanabi"])
    assert [setting.name for setting in found] == [
        "hanabi:4",
        "hanabi:5",
        "hanabi:2@small",
        "hanabi:2",
    ]
    for given, said in (
        ([], "name at least one game"),
        (["hanabi", "hanabi:2-3"], "hanabi:2 is named twice"),
        (["hanabi@preset=small", "hanabi@small"], "hanabi:2@small is named twice"),
        (["tracking@frames=100", "tracking@frames=1e2"], "tracking@frames=100 is named twice"),
        (["hanabi", "go"], "unknown game 'go'"),
    ):
        with pytest.raises(ValueError, match=said):
            parse_all(given)


def test_numbers_have_the_name_of_what_they_are() -> None:
    assert parse_numbers("7,1-3,2", "--players") == (1, 2, 3, 7)
    with pytest.raises(ValueError, match="--players must look like"):
        parse_numbers("x", "--players")


# --- beside a name on a command line ----------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "players", "preset", "completed"),
    [
        ("hanabi", None, None, "hanabi"),
        ("hanabi", "2-5", None, "hanabi:2-5"),
        ("hanabi", None, "small", "hanabi@small"),
        ("hanabi", "2,4", "small", "hanabi:2,4@small"),
        ("hanabi:3", "2-5", "small", "hanabi:3@small"),
        ("hanabi@plain", "2-5", "small", "hanabi:2-5@plain"),
        ("hanabi@ranks=3", "4", "small", "hanabi:4@ranks=3"),
        ("hanabi:3@plain", "2-5", "small", "hanabi:3@plain"),
    ],
)
def test_what_a_name_says_wins(
    given: str, players: str | None, preset: str | None, completed: str
) -> None:
    assert complete([given], players, preset) == (completed,)
    assert complete([given, "tracking:1@frames=9"], players, preset) == (
        completed,
        "tracking:1@frames=9",
    )


# --- what is made of it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "seats"),
    [
        ("hanabi:3", 3),
        ("supply-chain:3@manager=incentives", 4),
        ("supply-chain:3@manager=hidden", 4),
        ("supply-chain:3@manager=subsidy", 3),
        ("supply-chain:3@manager=none", 3),
    ],
)
def test_a_manager_has_a_seat_of_its_own(name: str, seats: int) -> None:
    setting = parse(name)[0]
    assert setting.seats == seats == setting.batched(1).num_players


def test_a_manager_named_beside_a_game_becomes_a_part_of_its_name() -> None:
    names = ("supply-chain:3@lever", "hanabi", "stag-hunt@manager=none")
    assert complete(names, None, None, "shared") == (
        "supply-chain:3@manager=shared@lever",
        "hanabi@manager=shared",
        "stag-hunt@manager=none",
    )


def test_a_setting_makes_its_game() -> None:
    game = games.batched("hanabi:3@small", num_games=4, seed=7, life_tokens=2)
    same = games.setting("hanabi:3@small@life_tokens=2").batched(4, 7)
    assert (game.num_games, game.num_players, game.max_score) == (4, 3, 10)
    for name, values in game.state().items():
        np.testing.assert_array_equal(values, same.state()[name])
    assert games.setting("hanabi", players=4, preset="small") == parse("hanabi:4@small")[0]
    with pytest.raises(ValueError, match="hanabi:2-3 means 2 settings: name one number of players"):
        games.setting("hanabi:2-3")


def test_a_room_is_told_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several games can live in one package."""
    told: list[tuple[Any, ...]] = []

    @dataclass
    class Room:
        @staticmethod
        def make_batched(*args: Any) -> None:
            told.append(args)

    monkeypatch.setattr("games.settings.import_module", lambda name: {"games.made_up": Room}[name])
    monkeypatch.setitem(GAMES, "bridge", GameInfo("games.made_up", (4,), 4))
    monkeypatch.setitem(GAMES, "whist", GameInfo("games.made_up", (3, 4), 4))
    games.batched("bridge@deal=fair", 5, 6, restart=False)
    games.batched("whist", 7)
    games.batched("whist:3", 7)
    assert told == [
        ("bridge", 4, 5, 6, False, {"deal": "fair"}),
        ("whist", 4, 7, 0, True, {}),
        ("whist", 3, 7, 0, True, {}),
    ]
    assert [setting.name for setting in parse_all(["bridge", "whist"])] == ["bridge", "whist:4"]


def test_a_sentence_has_the_same_id_in_every_process() -> None:
    """Weights belong to ids, and are loaded elsewhere. The order of a set is no process's twin."""
    pytest.importorskip("pygame")
    # A console needs a title to be in it.
    names = [name for name in GAMES if name != "gameboy"]
    names += ["classic/tictactoe-v3", "stag-hunt@manager=incentives"]
    code = (
        "import json; from games import setting; "
        f"print(json.dumps([list(setting(name).batched(1).phrasebook) for name in {names}]))"
    )
    found = []
    for seed in ("0", "1"):  # in which sets of words are not in the same order
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "SDL_VIDEODRIVER": "dummy"},
            stdout=subprocess.PIPE,
            check=True,
        )
        found.append(json.loads(run.stdout.splitlines()[-1]))
    for name, one, other in zip(names, *found, strict=True):
        assert one == other, name
