"""One PettingZoo environment as a world of seats: who has to choose, and what a step brought.

Three sorts, by how the environment is stepped: a ``ParallelEnv``; an ``AECEnv`` in which all may
choose on what they saw at the start of a cycle (what PettingZoo calls parallelizable), stepped a
cycle at a time; and an ``AECEnv`` in which one agent acts after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel_wrapper
from pettingzoo.utils.wrappers import AssertOutOfBoundsWrapper, OrderEnforcingWrapper

MASK = "action_mask"
"""Where an environment says which actions are legal: in the observation, or in the info."""

SEEDS = 2**32
"""Seeds are taken modulo this: some environments accept no larger ones."""


class World:
    """What the three sorts have in common.

    Args:
        env: the environment; its ``possible_agents`` are the seats, in their order.

    Attributes:
        env: the environment.
        agents: who can ever take part, by seat.
        due: seats that have to choose, ascending.
        over: whether nobody plays on.
        elapsed: rounds that went by with the latest step.
        used: whether an episode was ever begun.
        rewards: float [P], what each seat has earned by the latest step.
        terminated: whether the part of each seat ended with it, by the rules.
        truncated: whether it was cut off.

    Raises:
        ValueError: if the environment does not say who can take part.
    """

    def __init__(self, env: Any) -> None:
        try:
            self.agents = tuple(env.possible_agents)
        except AttributeError:
            raise ValueError(
                f"{env} names no possible_agents: an environment whose agents are not known "
                "beforehand has no seats"
            ) from None
        self.env = env
        self.seat = {agent: seat for seat, agent in enumerate(self.agents)}
        self.due: list[int] = []
        self.over, self.used = False, False
        self.elapsed = 1
        self._last: dict[int, Any] = {}  # what those saw last that are gone
        self._masked = [
            isinstance(space := env.observation_space(agent), spaces.Dict) and MASK in space.spaces
            for agent in self.agents
        ]
        self._clear()

    def _clear(self) -> None:
        self.rewards = [0.0] * len(self.agents)
        self.terminated = [False] * len(self.agents)
        self.truncated = [False] * len(self.agents)

    def reset(self, seed: int) -> None:
        """Starts an episode."""
        self._clear()
        self._last = {}
        self.over, self.used = False, True
        self._reset(int(seed) % SEEDS)

    def _reset(self, seed: int) -> None:
        raise NotImplementedError

    def step(self, actions: Sequence[int]) -> None:
        """Makes the choices of the seats that are due.

        Args:
            actions: numbers of actions, in the order of ``due``.
        """
        raise NotImplementedError

    def observation(self, seat: int) -> Any:
        """What a seat sees, or saw last; None for one that was never there."""
        raise NotImplementedError

    def info(self, seat: int) -> Mapping[str, Any]:
        """What the environment adds for a seat."""
        raise NotImplementedError

    def mask(self, seat: int) -> NDArray[np.bool_] | None:
        """Which actions a seat may take, bool [actions], None for all of them."""
        told = self.observation(seat) if self._masked[seat] else self.info(seat)
        mask = told.get(MASK)
        return None if mask is None else np.asarray(mask, bool)

    def restricted(self, seat: int) -> bool:
        """Whether a seat may not take every action at every time."""
        return self._masked[seat] or MASK in self.info(seat)

    def living(self) -> list[int]:
        """The seats whose part has begun and not ended, ascending."""
        return self._seats(self.env.agents)

    def met(self, seat: int) -> bool:
        """Whether a seat is there, or was."""
        return seat in self._last or self.agents[seat] in self.env.agents

    def _end(self, agent: str, terminated: bool, truncated: bool) -> None:
        seat = self.seat[agent]
        self.terminated[seat] = terminated
        self.truncated[seat] = truncated and not terminated

    def _seats(self, agents: Iterable[str]) -> list[int]:
        return sorted(self.seat[agent] for agent in agents)


class ParallelWorld(World):
    """All living seats choose at once. Those whose mask leaves nothing to choose are not due."""

    def _reset(self, seed: int) -> None:
        self._observations, self._infos = self.env.reset(seed=seed)
        self._find_due()

    def _find_due(self) -> None:
        self.over = not self.env.agents
        masked = {seat: self.mask(seat) for seat in self._seats(self.env.agents)}
        self.due = [seat for seat, mask in masked.items() if mask is None or mask.any()]

    def step(self, actions: Sequence[int]) -> None:
        """Makes the choices of the seats that are due; who is there but not due does action 0."""
        chosen = dict.fromkeys(self.env.agents, 0)
        chosen |= zip((self.agents[seat] for seat in self.due), actions, strict=True)
        self._last |= {self.seat[agent]: seen for agent, seen in self._observations.items()}
        told = self.env.step(chosen)
        self._observations, rewards, terminations, truncations, self._infos = told
        self._clear()
        for agent in self._observations:
            self.rewards[self.seat[agent]] = float(rewards.get(agent, 0.0))
            self._end(agent, terminations.get(agent, False), truncations.get(agent, False))
        self._find_due()

    def observation(self, seat: int) -> Any:
        """What a seat sees, or saw last; None for one that was never there."""
        return self._observations.get(self.agents[seat], self._last.get(seat))

    def info(self, seat: int) -> Mapping[str, Any]:
        """What the environment adds for a seat."""
        info: Mapping[str, Any] = self._infos.get(self.agents[seat], {})
        return info


class CycleWorld(World):
    """All living seats of an AEC environment choose at once, and it steps through the cycle.

    The same as PettingZoo's ``aec_to_parallel``, without the observations that nobody looks at.
    """

    def _reset(self, seed: int) -> None:
        self._seen: dict[int, Any] = {}  # since the latest step
        self.env.reset(seed=seed)
        self._find_due()

    def _find_due(self) -> None:
        self.over = not self.env.agents
        self.due = self._seats(self.env.agents)

    def step(self, actions: Sequence[int]) -> None:
        """Makes the choices of the seats that are due, one after the other."""
        env, seat = self.env, self.seat
        chosen = dict(zip(self.due, actions, strict=True))
        self._clear()
        self._seen = {}
        rewards = self.rewards
        for agent in tuple(env.agents):
            if env.agent_selection != agent:
                raise RuntimeError(f"{env} asks {env.agent_selection}, and not {agent} in its turn")
            env.step(chosen[seat[agent]])
            for each, reward in env.rewards.items():
                rewards[seat[each]] += float(reward)
        for agent in env.agents:
            self._end(agent, env.terminations[agent], env.truncations[agent])
            if env.terminations[agent] or env.truncations[agent]:
                self._last[seat[agent]] = env.observe(agent)
        _bury(env)
        self._find_due()

    def observation(self, seat: int) -> Any:
        """What a seat sees, or saw last; None for one that was never there."""
        if seat in self._last or self.agents[seat] not in self.env.agents:
            return self._last.get(seat)
        if seat not in self._seen:
            self._seen[seat] = self.env.observe(self.agents[seat])
        return self._seen[seat]

    def info(self, seat: int) -> Mapping[str, Any]:
        """What the environment adds for a seat."""
        info: Mapping[str, Any] = self.env.infos.get(self.agents[seat], {})
        return info


class TurnWorld(CycleWorld):
    """One seat chooses at a time. It is paid when its turn comes, as ``AECEnv.last`` says."""

    def _find_due(self) -> None:
        env = self.env
        while env.agents:
            agent = env.agent_selection
            _, reward, terminated, truncated, _ = env.last(observe=False)
            self.rewards[self.seat[agent]] += float(reward)
            if not (terminated or truncated):
                before, self.due = self.due, [self.seat[agent]]
                # A round has gone by when the turn comes back to an earlier seat.
                self.elapsed = int(self.due <= before)
                return
            self._end(agent, terminated, truncated)
            self._last[self.seat[agent]] = env.observe(agent)
            env.step(None)
        self.over, self.due, self.elapsed = True, [], 1

    def step(self, actions: Sequence[int]) -> None:
        """Makes the choice of the seat that is due."""
        self._clear()
        self._seen = {}
        self.env.step(actions[0])
        self._find_due()


def make_world(env: AECEnv | ParallelEnv) -> World:
    """The world of an environment: at once where it can be, by turns otherwise."""
    if isinstance(env, ParallelEnv) and not isinstance(env, aec_to_parallel_wrapper):
        return ParallelWorld(env)
    if isinstance(env, aec_to_parallel_wrapper):
        return CycleWorld(_bare(env.aec_env))
    env = _bare(env)
    return CycleWorld(env) if env.metadata.get("is_parallelizable") else TurnWorld(env)


def _bare(env: AECEnv) -> AECEnv:
    """The environment without wrappers that refuse what a world never does, and cost time."""
    while type(env) in (OrderEnforcingWrapper, AssertOutOfBoundsWrapper):
        env = env.env
    return env


def _bury(env: AECEnv) -> None:
    """The last, empty steps of agents whose part has ended."""
    while env.agents:
        agent = env.agent_selection
        if not (env.terminations[agent] or env.truncations[agent]):
            break
        env.step(None)
