"""The PettingZoo environment: its conformance tests, and what it promises beyond them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pettingzoo
import pytest
from pettingzoo.test import api_test, parallel_api_test, render_test, seed_test
from pettingzoo.utils.conversions import parallel_to_aec, turn_based_aec_to_parallel

import games
from games.hanabi import HanabiBatched, configure
from games.hanabi.phrases import PHRASEBOOK

SETTINGS: dict[str, dict[str, Any]] = {
    "2p": {"players": 2},
    "3p": {"players": 3, "random_first_player": True},
    "4p": {"players": 4},
    "5p": {"players": 5, "turn_limit": 12},
    "very-small": {"preset": "very-small"},
}
each_setting = pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS.keys())


def play(env: pettingzoo.AECEnv, rng: np.random.Generator) -> Iterator[tuple[str, tuple]]:
    """Plays one game at random; yields each agent and what it was told, before it moves."""
    for agent in env.agent_iter():
        told = env.last()
        yield agent, told
        observation, _, terminated, truncated, _ = told
        done = terminated or truncated
        env.step(None if done else rng.choice(np.flatnonzero(observation["action_mask"])))


# PettingZoo's masks are all zeros for an agent that has ended, which its test remarks on.
@pytest.mark.filterwarnings("ignore:Action mask numpy array is all zeros")
@pytest.mark.filterwarnings("ignore:Observation is not a NumPy array")
@pytest.mark.filterwarnings("ignore:Observation space for each agent probably should be")
@pytest.mark.filterwarnings("error")
@each_setting
def test_api(options: dict[str, Any]) -> None:
    api_test(games.make("hanabi", **options), num_cycles=100)


@each_setting
def test_seeds_make_games(options: dict[str, Any]) -> None:
    seed_test(lambda: games.make("hanabi", **options), num_cycles=100)


@each_setting
def test_seeds_make_games_through_the_parallel_api(options: dict[str, Any]) -> None:
    """PettingZoo's own parallel test stops after a step, so the AEC test runs on the conversion."""
    seed_test(
        lambda: parallel_to_aec(turn_based_aec_to_parallel(games.make("hanabi", **options))),
        num_cycles=100,
    )


def test_parallel_api() -> None:
    parallel_api_test(turn_based_aec_to_parallel(games.make("hanabi")), num_cycles=100)
    parallel_api_test(games.make_parallel("hanabi"), num_cycles=100)


def test_render(capsys: pytest.CaptureFixture[str]) -> None:
    render_test(lambda render_mode: games.make("hanabi", render_mode=render_mode))
    assert "player_1 sees:" in capsys.readouterr().out
    env = games.make("hanabi", render_mode="ansi")
    env.reset(seed=1)
    table = env.render()
    observation, _, _, _, info = env.last()
    for sentence in [*observation["text"].splitlines(), *info["legal_actions"]]:
        assert f"\n  {sentence}" in table
    with pytest.raises(ValueError, match="render_mode must be"):
        games.make("hanabi", render_mode="rgb_array")


def test_registry() -> None:
    env = pettingzoo.make("aec", "troupe/hanabi-v0", players=4)
    env.reset(seed=0)
    assert env.agents == [f"player_{seat}" for seat in range(4)]
    parallel = pettingzoo.make("parallel", "troupe/hanabi-v0", players=4)
    observations, infos = parallel.reset(seed=0)
    assert [agent for agent in parallel.agents if infos[agent]["legal_actions"]] == ["player_0"]
    assert observations["player_0"]["text"] == env.observe("player_0")["text"]


@each_setting
def test_text_is_the_observation_and_the_choices(options: dict[str, Any]) -> None:
    """Sentences, ids, mask and the batched game all say the same, at every turn."""
    env, rng = games.make("hanabi", **options), np.random.default_rng(1)
    env.reset(seed=77)
    batch = HanabiBatched(configure(**options), 1, seed=77)
    for agent, (observation, _, terminated, truncated, info) in play(env, rng):
        assert env.observation_space(agent).contains(observation)
        ids = observation["observation"]
        assert observation["text"].split("\n") == PHRASEBOOK.render(ids)
        assert len(info["legal_actions"]) == observation["action_mask"].sum()
        if terminated or truncated:
            assert info["legal_actions"] == []
            continue
        assert np.array_equal(ids, batch.facts[0])
        assert info["legal_actions"] == PHRASEBOOK.render(batch.choices[0])
        for other in env.agents:
            if other != agent:
                view = env.observe(other)
                assert not view["action_mask"].any()
                assert not env.infos[other]["legal_actions"]
                batch_view = batch.observe(env.possible_agents.index(other))[0][0]
                assert np.array_equal(view["observation"], batch_view)
        # The batch follows: the generator's next draw is the move that `play` will make.
        action = copy.deepcopy(rng).choice(np.flatnonzero(observation["action_mask"]))
        index = int(observation["action_mask"][:action].sum())
        batch.step(np.array([index]))


def test_actions_are_numbered_as_in_the_reference() -> None:
    """The same deck and action numbers play the same game in OpenSpiel."""
    pyspiel = pytest.importorskip("pyspiel")
    for players in (2, 3, 4, 5):
        env, rng = games.make("hanabi", players=players), np.random.default_rng(players)
        config = configure(players=players)
        cards = [(c, r) for c in range(5) for r in range(5) for _ in range(config.copies(r))]
        deck = [cards[i] for i in rng.permutation(50)]
        env.reset(seed=0, options={"deck": deck})
        state = pyspiel.load_game("hanabi", {"players": players}).new_initial_state()
        drawn = iter(deck)
        for agent in env.agent_iter():
            while state.is_chance_node():
                colour, rank = next(drawn)
                state.apply_action(5 * colour + rank)
            observation, _, terminated, truncated, _ = env.last()
            assert state.is_terminal() == (terminated or truncated)
            if terminated:
                assert env.infos[agent]["score"] == state.returns()[0]
                env.step(None)
                continue
            assert agent == f"player_{state.current_player()}"
            legal = np.flatnonzero(observation["action_mask"]).tolist()
            assert legal == state.legal_actions()
            action = int(rng.choice([a for a in legal if not config.hand <= a < 2 * config.hand]))
            if rng.random() < 0.1:
                action = config.hand  # the oldest card
            env.step(action)
            state.apply_action(action)


@pytest.mark.parametrize("bomb", ["zero", "keep"])
def test_rewards_add_up_to_the_score(bomb: str) -> None:
    """Every agent receives, over its turns and its last word, what the game was worth."""
    env, rng = games.make("hanabi", bomb=bomb, life_tokens=2), np.random.default_rng(3)
    worth = set()
    for seed in range(30):
        env.reset(seed=seed)
        received = dict.fromkeys(env.possible_agents, 0.0)
        final = {}
        for agent, (_, reward, terminated, _, info) in play(env, rng):
            received[agent] += reward
            if terminated:
                final = info
        value = final["score" if bomb == "zero" else "points"]
        assert set(received.values()) == {value}
        worth.add(value)
    assert (worth == {0}) == (bomb == "zero")  # random play of two lives is always lost


def test_illegal_actions_change_nothing() -> None:
    env = games.make("hanabi")
    env.reset(seed=4)
    before = env.render_mode, env.agent_selection, env.last()[0]["text"]
    for action in (0, 99, -1, None):  # no discard while all hints are left
        with pytest.raises(ValueError, match="is not legal; legal actions are"):
            env.step(action)
    assert (env.render_mode, env.agent_selection, env.last()[0]["text"]) == before


def test_copies_go_on_alike() -> None:
    env, rng = games.make("hanabi", players=3), np.random.default_rng(0)
    env.reset(seed=8)
    for _ in range(6):
        env.step(rng.choice(np.flatnonzero(env.last()[0]["action_mask"])))
    twin = copy.deepcopy(env)
    alike = zip(
        play(env, np.random.default_rng(1)), play(twin, np.random.default_rng(1)), strict=True
    )
    for (agent, mine), (other, theirs) in alike:
        assert agent == other
        assert mine[0]["text"] == theirs[0]["text"]
        assert mine[1:] == theirs[1:]


def test_games_go_on_from_a_seed() -> None:
    """A reset without a seed draws the next from the last one given."""
    texts = []
    for _ in range(2):
        env = games.make("hanabi")
        env.reset(seed=3)
        env.reset()
        texts.append(env.last()[0]["text"])
        env.reset()
        texts.append(env.last()[0]["text"])
    assert texts[:2] == texts[2:]
    assert texts[0] != texts[1]
    with pytest.raises(ValueError, match="seed must be"):
        env.reset(seed=-1)


def test_nothing_goes_before_reset() -> None:
    env, parallel = games.make("hanabi", render_mode="ansi"), games.make_parallel("hanabi")
    for call, begin in (
        ("step", lambda: env.step(5)),
        ("last", env.last),
        ("observe", lambda: env.observe("player_0")),
        ("render", env.render),
        ("step", lambda: parallel.step({"player_0": 5})),
        ("render", parallel.render),
    ):
        with pytest.raises(RuntimeError, match=rf"call reset\(\) before {call}\(\)"):
            begin()
    env.reset(seed=1)
    env.step(5)
