"""What a person imports: it plays as the parts below do, and remembers by itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import troupe

ROOT = Path(__file__).parents[2]
AGENTS = ["hanabi-2p", "bot:smart", "bot:information"]


def play(agent: troupe.Agent, env: Any, seed: int) -> dict[str, Any]:
    """One game, the same agent in every seat; what is told of its end."""
    agent.reset()
    env.reset(seed=seed)
    for seat in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        over = terminated or truncated
        env.step(None if over else agent.act(observation, info, seat=seat))
    return dict(info)


@pytest.mark.parametrize("name", AGENTS)
def test_a_pettingzoo_game_is_played_as_an_evaluation_is(name: str) -> None:
    """Also the second game: what was remembered of the first is forgotten."""
    agent = troupe.load(name)
    env = troupe.make("hanabi", players=2)
    (expected,) = troupe.evaluate(agent, "hanabi:2", games=2, seed=5)
    points = [float(play(agent, env, 5 + i).get("score", -1)) for i in range(2)]
    lost = expected.outcome("lost") > 0
    assert not lost.any(), "choose seeds of games that are not lost"
    assert points == expected.outcome("score").tolist()


def test_text_ids_and_observations_mean_the_same() -> None:
    one, two, three = (troupe.load("bot:smart") for _ in range(3))
    env = troupe.make("hanabi", players=3)
    env.reset(seed=2)
    for seat in env.agent_iter(60):
        observation, _, terminated, truncated, info = env.last()
        if terminated or truncated:
            break
        legal = info["legal_actions"]
        action = one.act(observation, info, seat=seat)
        sentence = two.act(observation["text"], legal, seat=seat)
        book = three.phrasebook
        ids = book.parse(legal)
        facts = book.parse(observation["text"].splitlines())
        assert book[three.act(facts, ids, seat=seat)] == sentence
        assert legal[int(observation["action_mask"][:action].sum())] == sentence
        env.step(action)


def test_seats_remember_apart_and_forget_when_told() -> None:
    agent = troupe.load("hanabi-2p")
    env = troupe.make("hanabi", players=2)
    env.reset(seed=1)
    observation, *_, info = env.last()
    agent.act(observation, info, seat="a")
    after_one = agent._memory["a"].copy()
    agent.act(observation, info, seat="b")
    assert np.array_equal(agent._memory["b"], after_one)
    agent.act(observation, info, seat="a")
    assert not np.array_equal(agent._memory["a"], after_one)
    agent.reset("a")
    agent.act(observation, info, seat="a")
    assert np.array_equal(agent._memory["a"], after_one)
    agent.reset()
    assert not agent._memory


def test_what_cannot_be_read_is_named() -> None:
    agent = troupe.load("bot:iggi")
    with pytest.raises(ValueError, match="bot:iggi has no word for 'the sun shines'"):
        agent.act(["the sun shines"], ["I play card 1"])
    with pytest.raises(ValueError, match="seat 'me' has nothing to choose from"):
        agent.act(["there are 8 hints left"], [], seat="me")
    with pytest.raises(ValueError, match="cannot play tracking"):
        troupe.evaluate(agent, "tracking", games=1)


def test_everybody_who_is_listed_can_be_loaded() -> None:
    assert {"hanabi", "hanabi-2p", "bot:smart"} <= set(troupe.names())
    for name in troupe.names():
        agent = troupe.load(name)
        assert agent.name == name
        assert agent.settings
        assert len(agent.phrasebook)


def test_cross_play_with_and_without_a_folder(tmp_path: Path) -> None:
    agents = ["bot:iggi", "bot:piers"]
    (kept,) = troupe.crossplay(agents, "hanabi:2@small", games=4, folder=tmp_path / "matrix")
    (other,) = troupe.crossplay(agents, "hanabi:2@small", games=4)
    assert (tmp_path / "matrix" / "crossplay.html").exists()
    assert kept.cross_play == other.cross_play
    assert kept.gap == other.gap


def test_the_public_names_are_documented() -> None:
    assert troupe.__version__
    for name in troupe.__all__:
        assert getattr(troupe, name).__doc__, name


@pytest.mark.parametrize("file", ["README.md", "troupe/__init__.py"])
def test_the_example_of_the_readme_runs(file: str, tmp_path: Path) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".md"):
        (code,) = re.findall(r"```python\n(import troupe\n.*?)```", text, re.DOTALL)
    else:
        (block,) = re.findall(r"^    import troupe\n(?:    .*\n|\n)*", text, re.MULTILINE)
        code = "\n".join(line.removeprefix("    ") for line in block.splitlines())
    # From a folder that is not ours: the package is installed.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 15 <= float(done.stdout.split()[-1]) <= 25
