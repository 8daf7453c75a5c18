"""Stock games in words of their own: what is said is so, and they are stepped as they should be."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pettingzoo
import pytest

import games
from games import testing
from games.zoo import STOCK
from games.zoo.batched import ZooBatched
from games.zoo.pong import COLUMNS, ROWS
from games.zoo.zombies import BEARINGS, DISTANCES

pytest.importorskip("pygame")

SHORT = {
    "pursuit": "pursuit:3@n_evaders=5@max_cycles=40@x_size=9@y_size=9",
    "knights-archers-zombies": "knights-archers-zombies:3@max_cycles=150@spawn_delay=4",
    "cooperative-pong": "cooperative-pong@max_cycles=80",
}


def make(name: str, **options: Any) -> testing.Maker:
    return lambda num_games, seed, restart: games.batched(
        SHORT[name], num_games, seed, restart, **options
    )


def where(fact: str) -> tuple[int, int]:
    """The place that is meant by words such as "2 left 1 up"."""
    found = dict.fromkeys(("left", "right", "up", "down"), 0)
    found |= {way: int(number) for number, way in re.findall(r"(\d+) (left|right|up|down)", fact)}
    return found["right"] - found["left"], found["up"] - found["down"]


def pursuit_decode(facts: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"wall": set(), "pursuer": {}, "evader": {}, "open": {}, "beside": {}}
    for fact in facts:
        words = fact.split()
        if found := re.match(r"(an?|\d)(?: or more)? (pursuer|evader)s? (?:is|are)", fact):
            count = int(found[1]) if found[1].isdigit() else 1
            told[found[2]][where(fact[found.end() :])] = count
        elif fact.startswith("a wall"):
            told["wall"].add(where(fact))
        elif found := re.match(r"the evader (.*) is open on (\d)", fact):
            told["open"][where(found[1])] = int(found[2])
        elif found := re.match(r"the nearest evader is (\d) step", fact):
            told["nearest"] = int(found[1])
        elif "puts me beside" in fact:
            way = words[0] if words[0] == "staying" else words[1]
            told["beside"][way] = int(re.findall(r"\d", fact)[0])
    return told


def pursuit_truth(game: ZooBatched, index: int, seat: int) -> dict[str, Any]:
    """From where everybody stands, not from what the environment shows."""
    raw = game._worlds[index].env.unwrapped.env
    me = tuple(int(part) for part in raw.pursuer_layer.get_position(seat))
    walls = {
        (x, y)
        for x in range(-9, 20)
        for y in range(-9, 20)
        if not (0 <= x < raw.x_size and 0 <= y < raw.y_size) or raw.map_matrix[x, y] == -1
    }

    def near(layer: Any, but: int | None = None) -> dict[tuple[int, int], int]:
        count: dict[tuple[int, int], int] = {}
        for who in range(layer.n_agents()):
            x, y = (int(part) for part in layer.get_position(who))
            place = (x - me[0], y - me[1])
            if who != but and max(map(abs, place)) <= 3:
                count[place] = count.get(place, 0) + 1
        return count

    pursuers, evaders = near(raw.pursuer_layer, seat), near(raw.evader_layer)
    sides = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
    shut = {*pursuers, (0, 0)}

    def is_shut(place: tuple[int, int]) -> bool:
        return place in shut or (place[0] + me[0], place[1] + me[1]) in walls

    told: dict[str, Any] = {
        "wall": {
            (x - me[0], y - me[1]) for x, y in walls if max(abs(x - me[0]), abs(y - me[1])) <= 3
        },
        "pursuer": {place: min(count, 3) for place, count in pursuers.items()},
        "evader": {place: min(count, 3) for place, count in evaders.items()},
        "open": {
            (x, y): sum(not is_shut((x + u, y + v)) for u, v in sides.values())
            for x, y in evaders
            if max(abs(x), abs(y)) < 3
        },
        "beside": {},
    }
    if evaders:
        told["nearest"] = min(abs(x) + abs(y) for x, y in evaders)
    for way, (x, y) in {"staying": (0, 0), **sides}.items():
        count = sum(evaders.get((x + u, y + v), 0) for u, v in sides.values())
        if count and (x + me[0], y + me[1]) not in walls:
            told["beside"][way] = min(count, 3)
    return told


def pong_decode(facts: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for fact in facts:
        number = int((re.findall(r"\d+", fact) or ["0"])[0])
        if "column" in fact:
            told["column"] = number - 1
        elif fact.startswith("the ball is in row"):
            told["row"] = number - 1
        elif fact.startswith("my paddle"):
            told["mine"] = number - 1
        elif "partner A" in fact:
            told["yours"] = number - 1
        elif "parts" in fact or "level" in fact:
            told["below"] = number * (-1 if "above" in fact else 1)
        elif fact in ("the ball comes towards me", "the ball flies away from me"):
            told["comes"] = "comes" in fact
        elif "flies" in fact:
            told["rises"] = ("up" in fact) - ("down" in fact)
        elif fact.startswith("I play"):
            told["side"] = fact.split()[-1]
    return told


def pong_truth(game: ZooBatched, index: int, seat: int) -> dict[str, Any]:
    raw = game._worlds[index].env.unwrapped.env
    width, height = raw.s_width / COLUMNS, raw.s_height / ROWS
    x, y = raw.ball._rect.center
    speed, fall = raw.ball._speed
    mine, yours = (paddle.rects[0].centery for paddle in (raw.p0, raw.p1)[:: 1 - 2 * seat])
    if seat:
        x, speed = raw.s_width - x, -speed
    return {
        "column": min(COLUMNS - 1, max(0, int(x / width))),
        "row": min(ROWS - 1, max(0, int(y / height))),
        "mine": int(mine / height),
        "yours": int(yours / height),
        "below": max(-28, min(28, round((y - mine) / (raw.s_height / 28)))),
        "comes": speed < 0,
        "rises": 0 if abs(fall / speed) < 0.2 else (1 if fall < 0 else -1),
        "side": ("left", "right")[seat],
    }


def zombies_decode(facts: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"arrows": 0}
    for fact in facts:
        if found := re.match(r"I am an? (\w+)$", fact):
            told["kind"] = found[1]
        elif found := re.match(r"I face (\d+)", fact):
            told["heading"] = int(found[1])
        elif found := re.match(r"(\d+) arrows fly", fact):
            told["arrows"] = int(found[1])
        elif found := re.match(r"(the .*zombie|\w+ [A-Z]) is (.*)", fact):
            who, what = found[1], found[2]
            if "pixels" in what:
                far = int(re.findall(r"\d+", what)[0])
                told[who, "far"] = math.inf if "farther" in what else far
            elif turn := re.match(r"(\d+) degrees to my (left|right)", what):
                told[who, "turn"] = int(turn[1]) * (1 if turn[2] == "right" else -1)
            elif what in ("straight ahead", "right behind me"):
                told[who, "turn"] = 0 if what == "straight ahead" else 180
    return told


def zombies_truth(game: ZooBatched, index: int, seat: int) -> dict[str, Any]:
    raw = game._worlds[index].env.unwrapped
    me = raw.agent_map[raw.possible_agents[seat]]
    heading = math.degrees(math.atan2(me.direction[0], -me.direction[1]))
    told: dict[str, Any] = {
        "kind": raw.possible_agents[seat].split("_")[0],
        "heading": 10 * (round(heading / 10) % 36),
        "arrows": raw.num_active_arrows,
    }

    def tell(who: str, other: Any) -> None:
        dx, dy = other.rect.x - me.rect.x, other.rect.y - me.rect.y
        far = [limit for limit in DISTANCES if math.hypot(dx, dy) <= limit + 1e-6]
        told[who, "far"] = far[0] if far else math.inf
        turn = round(round(math.degrees(math.atan2(dx, -dy)) - heading + 180, 6) % 360) - 180
        near = min(BEARINGS, key=lambda angle: abs(angle - abs(turn)))
        told[who, "turn"] = 180 if near == 180 else near * (1 if turn > 0 else -1)

    zombies = sorted(
        raw.zombie_list,
        key=lambda other: math.hypot(other.rect.x - me.rect.x, other.rect.y - me.rect.y),
    )
    names = ("nearest", "second nearest", "third nearest", "fourth nearest")
    for name, zombie in zip(names, zombies, strict=False):
        tell(f"the {name} zombie", zombie)
    if zombies:
        tell("the lowest zombie", max(zombies, key=lambda zombie: zombie.rect.y))
    met: dict[str, int] = {}
    for agent in raw.possible_agents:
        kind = agent.split("_")[0]
        if agent != raw.possible_agents[seat]:
            met[kind] = met.get(kind, -1) + 1
            if agent not in raw.dead_agents:
                tell(f"{kind} {'ABC'[met[kind]]}", raw.agent_map[agent])
    return told


@pytest.mark.parametrize(
    ("name", "decode", "truth"),
    [
        ("pursuit", pursuit_decode, pursuit_truth),
        ("cooperative-pong", pong_decode, pong_truth),
        ("knights-archers-zombies", zombies_decode, zombies_truth),
    ],
)
def test_what_is_said_is_so(name: str, decode: testing.Decode, truth: testing.Truth) -> None:
    testing.check_decoding(make(name), decode, truth, num_games=3, steps=80)


@pytest.mark.parametrize("name", STOCK)
def test_stock_games_are_games(name: str) -> None:
    """Seeds, saved states, ends and PettingZoo's own tests."""
    testing.check_all(make(name), num_games=2, steps=60)


@pytest.mark.parametrize("name", STOCK)
def test_they_are_stepped_as_pettingzoo_steps_them(name: str) -> None:
    """Rewards, ends and the number of rounds are those of PettingZoo's own Parallel environment."""
    game = make(name)(1, 17, False)
    setting = games.parse(SHORT[name])[0]
    stock = STOCK[name]
    own = {**setting.options, **stock.seats(setting.players)}
    env = pettingzoo.make("parallel", stock.id, **own)
    rng = np.random.default_rng(0)
    env.reset(seed=17)
    for _ in range(200):
        assert [env.possible_agents.index(agent) for agent in env.agents] == list(game.due_seat)
        moves = (rng.random(len(game.due_seat)) * game.choice_counts).astype(int)
        agents = list(env.agents)
        _, rewards, terminated, truncated, _ = env.step(
            dict(zip(agents, moves.tolist(), strict=True))
        )
        step = game.step(moves)
        for seat, agent in enumerate(env.possible_agents):
            assert step.rewards[0, seat] == np.float32(rewards.get(agent, 0))
            ended = terminated.get(agent, False), truncated.get(agent, False)
            if agent in agents:
                assert (step.terminated[0, seat], step.truncated[0, seat]) == (
                    ended[0],
                    ended[1] and not ended[0],
                )
        assert step.over[0] == (not env.agents)
        if step.over[0]:
            break
    assert step.over[0]


def test_names() -> None:
    assert games.parse("pursuit")[0].name == "pursuit:8"
    assert games.batched("knights-archers-zombies:3", 1).roles == ("archer", "archer", "knight")
    with pytest.raises(
        ValueError, match="n_pursuers of pursuit follows from the number of players"
    ):
        games.batched("pursuit:4@n_pursuers=5", 1)
    with pytest.raises(ValueError, match=r"refuses the options .*colour"):
        games.batched("cooperative-pong@colour=red", 1)
    with pytest.raises(ValueError, match="obs_method must be vector"):
        games.batched("knights-archers-zombies@obs_method=image", 1)
    ttt = games.batched("classic/tictactoe-v3", 2)
    assert ttt.num_players == 2
    assert games.batched("sisl/pursuit-v5:3", 1, n_pursuers=3).num_players == 3
    with pytest.raises(ValueError, match="has 3 agents: write sisl/pursuit-v5:3"):
        games.batched("sisl/pursuit-v5", 1, n_pursuers=3)
    with pytest.raises(ValueError, match="there is classic/tictactoe-v3"):
        games.parse("classic/tictactoe")


def test_frames_can_be_skipped() -> None:
    game = games.batched("cooperative-pong@max_cycles=41@frame_skip=4", 1)
    assert game.max_turns == 11
    step = game.step(np.zeros(2, int))
    assert step.elapsed[0] == 4
    assert step.rewards[0].tolist() == pytest.approx([400 / 41] * 2)
