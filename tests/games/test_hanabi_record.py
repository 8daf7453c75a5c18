"""A recorded game can be played again, and another program's reader finds the same game in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from games.hanabi import HanabiBatched, HanabiConfig, configure
from games.hanabi.record import GameRecord, load, save, to_hanab_live

NAMES = ("Ann", "Bo", "Cy", "Di", "Ed")


def played(config: HanabiConfig, seed: int, moves: int = 1000) -> GameRecord:
    """A game of random legal moves; few of them are plays, so that it lasts."""
    rng = np.random.default_rng(seed)
    record = GameRecord.begin(config, NAMES[: config.players], seed)
    table = record.table()
    made: list[str] = []
    while len(table.due_game) and len(made) < moves:
        choices = table.phrasebook.render(table.choices.ravel())
        quiet = [k for k, choice in enumerate(choices) if "play" not in choice]
        options = quiet if quiet and rng.random() < 0.8 else list(range(len(choices)))
        index = int(rng.choice(options))
        made.append(choices[index])
        table.step(np.array([index]))
    return replace(record, moves=tuple(made))


def site(game: dict[str, Any]) -> dict[str, Any]:
    """Plays a game in the site's format by plain rules of its own; returns the last table."""
    names, deck = game["players"], game["deck"]
    size = 5 if len(names) < 4 else 4
    hands = [[k * size + slot for slot in range(size)] for k in range(len(names))]
    drawn, clues, strikes = len(names) * size, 8, 0
    stacks = dict.fromkeys((card["suitIndex"] for card in deck), 0)
    for turn, action in enumerate(game["actions"]):
        assert strikes < 3
        hand = hands[turn % len(names)]
        if action["type"] in (0, 1):
            assert set(action) == {"type", "target"}
            hand.remove(action["target"])
            card = deck[action["target"]]
            if action["type"] == 1:
                assert clues < 8
                clues += 1
            elif stacks[card["suitIndex"]] == card["rank"] - 1:
                stacks[card["suitIndex"]] += 1
                clues += card["rank"] == 5 and clues < 8
            else:
                strikes += 1
            if drawn < len(deck):
                hand.append(drawn)
                drawn += 1
        else:
            assert clues > 0
            clues -= 1
            assert action["target"] != turn % len(names)
            key = {2: "suitIndex", 3: "rank"}[action["type"]]
            assert any(deck[c][key] == action["value"] for c in hands[action["target"]])
    cards = {
        name: [(deck[c]["suitIndex"], deck[c]["rank"] - 1) for c in hand]
        for name, hand in zip(names, hands, strict=True)
    }
    return {"score": sum(stacks.values()), "clues": clues, "strikes": strikes, "hands": cards}


@pytest.mark.parametrize("players", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_site_finds_the_same_game(players: int, seed: int) -> None:
    config = HanabiConfig(players=players, random_first_player=True)
    record = played(config, seed)
    *_, last = record.positions()
    assert last.over
    game = json.loads(json.dumps(to_hanab_live(record)))
    found = site(game)
    assert found["score"] == last.score
    assert found["clues"] == last.view.tokens
    assert found["strikes"] == 3 - last.view.lives
    # The site's suits: red, yellow, green, blue, purple; ours: red, yellow, green, white, blue.
    assert found["hands"] == {
        name: [([0, 1, 2, 4, 3][colour], rank) for colour, rank in hand]
        for name, hand in zip(record.players, last.hands, strict=True)
    }
    assert game["options"] == {"variant": "No Variant"}
    assert len(game["deck"]) == 50


def test_whoever_begins_is_the_sites_first() -> None:
    config = HanabiConfig(players=4, random_first_player=True)
    begun = set()
    for seed in range(12):
        record = played(config, seed, moves=4)
        first = next(record.positions()).seat
        begun.add(first)
        assert to_hanab_live(record)["players"][0] == NAMES[first]
    assert begun == {0, 1, 2, 3}


def test_fewer_suits() -> None:
    record = played(HanabiConfig(players=2, colours=3), 5)
    game = to_hanab_live(record)
    assert game["options"] == {"variant": "3 Suits"}
    *_, last = record.positions()
    assert site(game)["score"] == last.score


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (HanabiConfig(hand_size=4), "plays with hand 5, this game has 4"),
        (HanabiConfig(ranks=4), "plays with ranks 5, this game has 4"),
        (HanabiConfig(life_tokens=1), "plays with life tokens 3, this game has 1"),
        (HanabiConfig(information_tokens=7), "plays with information tokens 8, this game has 7"),
        (HanabiConfig(colours=2), "plays with 3 to 5 colours, this game has 2"),
    ],
)
def test_what_the_site_does_not_play(config: HanabiConfig, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_hanab_live(played(config, 1, moves=3))


@pytest.mark.parametrize(
    "config",
    [
        HanabiConfig(players=5),
        configure("small", players=3),
        HanabiConfig(players=3, bomb="keep", random_first_player=True, turn_limit=20),
    ],
)
def test_saved_and_loaded_it_is_the_same(config: HanabiConfig, tmp_path: Path) -> None:
    for moves in (0, 1, 1000):
        record = played(config, 4, moves)
        file = tmp_path / "deep" / f"{moves}.json"
        save(record, file)
        assert load(file) == record
        assert list(file.parent.glob("*.tmp")) == []


def test_positions_are_those_of_the_game() -> None:
    record = played(HanabiConfig(players=3), 9)
    game = HanabiBatched(record.config, 1, 9, restart=False)
    score, lost = 0, False
    for position in record.positions():
        assert position.seat == game.seat[0]
        assert (position.score, position.lost) == (score, lost)
        for offset in (1, 2):
            assert position.view.hands[offset] == list(position.hands[(position.seat + offset) % 3])
        state, first = game.state(), position.seat * record.config.hand
        held = state["cards"][0, first : first + state["sizes"][0, position.seat]]
        mine = [divmod(card, 5) for card in held.tolist()]
        assert list(position.hands[position.seat]) == mine
        if position.move is None:
            assert position.over
            break
        choices = game.phrasebook.render(game.choices.ravel())
        step = game.step(np.array([choices.index(position.move)]))
        score, lost = int(step.outcome["points"][0]), bool(step.outcome["lost"][0])
    assert position.turn == len(record.moves)


def test_a_move_more() -> None:
    record = GameRecord.begin(HanabiConfig(), ("Ann", "Bo"), 3)
    assert record.then("I play card 2").moves == ("I play card 2",)
    with pytest.raises(ValueError, match=r"move 1, 'I discard card 1', cannot be made: legal are"):
        record.then("I discard card 1")  # all hints are left
    over = played(HanabiConfig(), 3)
    with pytest.raises(ValueError, match="cannot be made: the game is over"):
        over.then("I play card 1")


@pytest.mark.parametrize("names", [("Ann",), ("Ann", ""), ("Ann", 3), ("Ann", "Bo", "Cy")])
def test_every_seat_has_a_name(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="a game of 2 needs as many names"):
        GameRecord.begin(HanabiConfig(), names, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "chess"}, 'its "format" is not'),
        ({"deck": [[0, 0]] * 50}, "a deck must hold exactly"),
        ({"deck": [[0]]}, "holds no game that can be played"),
        ({"deck": 3}, "holds no game that can be played"),
        ({"moves": ["I win"]}, "move 1, 'I win', cannot be made"),
        ({"rules": {"players": 9}}, "players must be a whole number from 2 to 5"),
        ({"rules": {"jokers": 1}}, "holds no game that can be played"),
        ({"seed": -1}, "holds no game that can be played"),
        ({"seed": "x"}, "holds no game that can be played"),
        ({"moves": None}, "holds no game that can be played"),
    ],
)
def test_what_is_no_game(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "game.json"
    save(played(HanabiConfig(), 1), file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=said):
        load(file)


def test_what_is_no_whole_game(tmp_path: Path) -> None:
    file = tmp_path / "game.json"
    save(played(HanabiConfig(), 1), file)
    values = json.loads(file.read_text())
    del values["deck"]
    file.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="'deck' is missing"):
        load(file)
    for text in ("", "[]", "{"):
        file.write_text(text)
        with pytest.raises(ValueError, match="no recorded game"):
            load(file)
