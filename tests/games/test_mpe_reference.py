"""The particle games, step by step beside mpe2's: the same physics, rewards and observations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from games.mpe import NAMES, MpeBatched, configure
from games.mpe.rules import MAX_PLAYERS, REFERENCE, SPEAKER_LISTENER, SPREAD, MpeConfig
from games.mpe.view import UNSAID, Amounts, read

mpe2 = pytest.importorskip("mpe2")

EXACT = 1e-12
"""Greatest difference of positions and velocities (float64): that of the last bits of exp."""
ROUNDED = 2e-6
"""Greatest relative difference of rewards: ours are float32."""


def peers(game: int, count: int, players: int, options: dict[str, Any]) -> list[Any]:
    """Environments of mpe2 that are not started."""
    if game == SPREAD:
        penalty = options.pop("collision_penalty", True)
        options |= {"N": players, "curriculum": not penalty}
    module = ("simple_reference_v3", "simple_speaker_listener_v4", "simple_spread_v3")[game]
    __import__(f"mpe2.{module}")
    return [getattr(mpe2, module).parallel_env(**options) for _ in range(count)]


def copy_start(batch: MpeBatched, worlds: list[Any]) -> None:
    """Puts our games where those of mpe2 begin."""
    state = batch.state()
    for i, world in enumerate(worlds):
        for seat, agent in enumerate(world.agents):
            state["position"][i, seat] = agent.state.p_pos
            if batch.config.game != SPREAD and agent._goal_b is not None:
                state["goal"][i, seat] = world.landmarks.index(agent._goal_b)
        for k, landmark in enumerate(world.landmarks):
            state["landmark"][i, k] = landmark.state.p_pos
    batch.load_state(state)


def compare_observations(batch: MpeBatched, seat: int, seen: Any) -> None:
    """Facts say all that mpe2's vectors hold, within the width of the sentences' bins.

    Args:
        batch: ours.
        seat: whose observations.
        seen: float32 [N, size], mpe2's.
    """
    config, views = batch.config, read(batch.observe(seat)[0])
    if config.game == SPEAKER_LISTENER and seat == 0:
        np.testing.assert_array_equal(views.goal, seen.argmax(1))
        assert all(np.isnan(part).all() for part in views.said)
        assert (views.heard == UNSAID).all()
        return
    least, most = (_vectors(config, seat, part) for part in (views.least, views.most))
    amounts, rest = np.split(seen, [least.shape[1]], axis=1)
    slack = 1e-6 * (1 + np.abs(amounts))  # float32
    assert (least - slack <= amounts).all()
    assert (amounts <= most + slack).all()
    if config.game == SPREAD:
        assert not rest.any()  # the words of those who cannot speak
        return
    if config.game == REFERENCE:
        np.testing.assert_array_equal(views.goal, rest[:, :3].argmax(1))
        rest = rest[:, 3:]
    else:
        assert (views.goal == UNSAID).all()
    assert rest.shape[1] == config.words
    np.testing.assert_array_equal(views.heard, np.where(rest.any(1), 1 + rest.argmax(1), 0))


def _vectors(config: MpeConfig, seat: int, part: Amounts) -> Any:
    """The amounts in mpe2's order, float64 [N, size]."""
    first = MAX_PLAYERS if config.num_landmark_neighbors else 0
    landmarks = part.landmarks[:, first : first + config.seen_landmarks]
    flat = [part.velocity, landmarks.reshape(len(landmarks), -1)]
    if config.game == SPREAD:
        if config.num_agent_neighbors:
            names = [MAX_PLAYERS - 1 + k for k in range(config.seen_partners)]
        else:
            others = [other for other in range(config.players) if other != seat]
            names = [(other - seat) % config.players - 1 for other in others]
        flat.insert(1, part.position)
        flat.append(part.partners[:, names].reshape(len(landmarks), -1))
    return np.concatenate(flat, axis=1)


def play_beside(name: str, players: int, steps: int, games: int = 20, **options: Any) -> None:
    """Plays at random, each step compared; ``steps`` in all."""
    config = configure(name, players, options)
    batch = MpeBatched(config, games, restart=False)
    envs = peers(config.game, games, players, dict(options))
    rng = np.random.default_rng(players)
    made = 0
    while made < steps:
        observed = [env.reset(seed=made + i)[0] for i, env in enumerate(envs)]
        batch.reset()
        copy_start(batch, [env.unwrapped.world for env in envs])
        earned = np.zeros(games)
        # Every other game: mostly by habit, so that movers go far, and meet.
        habit = rng.random((games, players))
        while len(batch.due_game):
            for seat in range(players):
                agent = envs[0].possible_agents[seat]
                compare_observations(batch, seat, np.stack([seen[agent] for seen in observed]))
            living, due = np.unique(batch.due_game), (batch.due_game, batch.due_seat)
            drawn = rng.random((games, players))
            keep = (rng.random((games, players)) < 0.7) & (np.arange(games) % 2 == 0)[:, None]
            drawn[keep] = habit[keep]
            choices = np.zeros((games, players), np.int64)
            choices[due] = drawn[due] * batch.choice_counts
            step = batch.step(choices[due])
            state = batch.state()
            for i in living:
                env = envs[i]
                acts = dict(zip(env.possible_agents, choices[i].tolist(), strict=True))
                observed[i], rewards, ended, cut, _ = env.step(acts)
                made += 1
                agents = env.unwrapped.world.agents
                theirs = np.array([[agent.state.p_pos, agent.state.p_vel] for agent in agents])
                ours = np.stack([state["position"][i], state["velocity"][i]], 1)[:players]
                assert np.allclose(ours, theirs, rtol=EXACT, atol=EXACT), (ours, theirs)
                given = np.array(list(rewards.values()))
                assert np.allclose(step.rewards[i], given, rtol=ROUNDED, atol=ROUNDED)
                assert step.terminated[i].tolist() == list(ended.values())
                assert step.truncated[i].tolist() == list(cut.values())
                assert step.over[i] == any([*ended.values(), *cut.values()])
                earned[i] += given.mean()
                assert step.outcome["return"][i] == pytest.approx(earned[i], rel=1e-5)


SETTINGS = [
    (NAMES[REFERENCE], 2, {}),
    (NAMES[REFERENCE], 2, {"local_ratio": 0.2, "max_cycles": 7}),
    (NAMES[SPEAKER_LISTENER], 2, {}),
    (NAMES[SPREAD], 3, {}),
    (NAMES[SPREAD], 2, {"local_ratio": 0.9, "terminate_on_success": True, "max_cycles": 100}),
    (NAMES[SPREAD], 5, {"num_agent_neighbors": 2, "num_landmark_neighbors": 3}),
    (NAMES[SPREAD], 4, {"num_agent_neighbors": 3, "collision_penalty": False}),
    (NAMES[SPREAD], 6, {}),
]


@pytest.mark.parametrize(("name", "players", "options"), SETTINGS)
def test_a_few_thousand_steps_as_in_mpe2(name: str, players: int, options: dict[str, Any]) -> None:
    play_beside(name, players, 2000, **options)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "players"), [(NAMES[0], 2), (NAMES[1], 2), (NAMES[2], 3)])
def test_100_000_steps_as_in_mpe2(name: str, players: int) -> None:
    play_beside(name, players, 100_000)
