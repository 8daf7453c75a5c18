"""Exact solutions of the supply chain: what is best for all, and what is best for one.

Backward induction over all cases. Everything is visible, so a policy that looks at the state and at
the period is as good as any. With 3 factories and the usual setting there are 864 states, with 4
there are 5184.

A *profile* says what everybody does: float32 [P, T, S, A], the probability of each of a factory's
A moves in each of T periods and S states. Moves are numbered like the choices: to wait, then orders
at the small supplier, then at the large one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.supply_chain.cases import Floats, Ints, make_cases, places
from games.supply_chain.rules import SupplyChainConfig

Profile = NDArray[np.float32]

TIE = 1e-7
"""A gain below this is none: it may come from rounding."""


MAX_STATES = 6000
"""Of a setting that is solved by the way, where a game is made: seconds."""


class Solution(NamedTuple):
    """What a game tells of its own setting.

    Attributes:
        selfish: where self-interest leads (see ``Solver.selfish``).
        optimum: the most that all factories together can expect.
        moves: int8 [P, T, S], what each does for it.
    """

    selfish: float
    optimum: float
    moves: NDArray[np.int8]


@lru_cache(maxsize=8)
def solve(config: SupplyChainConfig) -> Solution | None:
    """The solution of a setting; None where that would take longer than seconds."""
    own = (config.room + 1) * (config.room + 2) // 2
    if own**config.players * (config.max_backlog + 1) > MAX_STATES:
        return None
    solver = Solver(config)
    optimum, profile = solver.optimum()
    return Solution(solver.selfish()[0], optimum, profile.argmax(3).astype(np.int8))


def state_index(
    config: SupplyChainConfig,
    stock: NDArray[np.integer],
    owed: NDArray[np.integer],
    backlog: NDArray[np.integer],
) -> Ints:
    """Numbers of states, int64 [n], from stock and parts on order [n, P] and backlog [n]."""
    pairs, numbers = places(config.room)
    state = np.zeros(len(backlog), np.int64)
    for seat in range(config.players):
        state = state * len(pairs) + numbers[stock[:, seat], owed[:, seat]]
    return state * (config.max_backlog + 1) + backlog


def every_state(config: SupplyChainConfig) -> tuple[Ints, Ints, Ints]:
    """All states in their order: stock and parts on order int64 [S, P], and backlog int64 [S]."""
    pairs, _ = places(config.room)
    grid = np.stack(np.meshgrid(*[np.arange(len(pairs))] * config.players, indexing="ij"), axis=-1)
    number = config.max_backlog + 1
    each = pairs[grid.reshape(-1, config.players)].repeat(number, axis=0)
    return each[:, :, 0], each[:, :, 1], np.tile(np.arange(number), len(each) // number)


@dataclass(frozen=True)
class Equilibrium:
    """A profile made out of equilibria of the stage games, from the last period to the first.

    Attributes:
        profile: what everybody does.
        returns: float64 [P], what each factory gets of it.
        unsolved: share of the stage games (a state in a period) without an equilibrium in pure
            moves; there the joint move counts that leaves the least to gain.
        gain: the most that one factory would gain by the best response to the others.
    """

    profile: Profile
    returns: Floats
    unsolved: float
    gain: float


class Solver:
    """Backward induction on one setting.

    Args:
        config: the setting.
        offers: float64 [S, P], what each factory is paid on top for each part that it orders from
            the large supplier; None for nothing. What all get then counts what they are paid.

    Attributes:
        states: S.
        moves: A.
        start: the state in which an episode begins.

    Raises:
        ValueError: if the setting is too large to be solved.
    """

    def __init__(self, config: SupplyChainConfig, offers: Floats | None = None) -> None:
        self.config = config
        self._cases = make_cases(config)
        self.states, self.moves = len(self._cases.options), 1 + 2 * config.room
        if offers is not None:
            parts = (self._cases.moves - config.room).clip(min=0)
            of_case = offers.repeat(np.diff(self._cases.first), axis=0)
            self._cases = self._cases._replace(rewards=self._cases.rewards + parts * of_case)
        one = np.ones((1, config.players), np.int64)
        self.start = int(self.index(one, 0 * one, np.zeros(1, np.int64))[0])

    def index(
        self, stock: NDArray[np.integer], owed: NDArray[np.integer], backlog: NDArray[np.integer]
    ) -> Ints:
        """Numbers of states; see ``state_index``."""
        return state_index(self.config, stock, owed, backlog)

    def optimum(self) -> tuple[float, Profile]:
        """The most that all factories together can expect, and a profile that gets it."""
        value, profile = self._cases.refunds.sum(axis=1), self._nobody()
        rewards = self._cases.rewards.sum(axis=1)
        for period in reversed(range(self.config.periods)):
            gains = rewards + self._follow(value)
            case = _best(gains, self._cases.first)
            value = gains[case]
            self._write(profile, period, case)
        return float(value[self.start]), profile

    def returns(self, profile: Profile) -> Floats:
        """What each factory can expect where everybody follows a profile, float64 [P]."""
        value = self._cases.refunds
        for period in reversed(range(self.config.periods)):
            value = self._expected(value, profile[:, period])
        return value[self.start]

    def best_response(self, profile: Profile, seat: int) -> tuple[float, Profile]:
        """The most that one factory can expect where the others follow a profile.

        Args:
            profile: what everybody does; the factory's own part is not looked at.
            seat: the factory.

        Returns:
            its return, and the profile with its own part replaced by the best response.
        """
        value, profile = self._cases.refunds[:, seat], profile.copy()
        for period in reversed(range(self.config.periods)):
            own = self._against(value, profile[:, period], seat)
            value = own.max(axis=1)
            profile[seat, period] = np.eye(self.moves)[own.argmax(axis=1)]
        return float(value[self.start]), profile

    def gain(self, profile: Profile) -> float:
        """The most that any factory would gain by leaving a profile; 0 in an equilibrium."""
        returns = self.returns(profile)
        seats = range(self.config.players)
        return max(self.best_response(profile, seat)[0] - float(returns[seat]) for seat in seats)

    def selfish(self, rounds: int = 1) -> tuple[float, Profile]:
        """Where self-interest leads: best responses in turn, from play at random.

        Every factory in its turn does what is best for itself against what the others do now. This
        need not come to rest; independent learners end near it.

        Args:
            rounds: how often each has its turn.

        Returns:
            the welfare at the end, and the profile.
        """
        profile = self._anything()
        for _ in range(rounds):
            for seat in range(self.config.players):
                _, profile = self.best_response(profile, seat)
        return float(self.returns(profile).sum()), profile

    def equilibrium(self, best: bool = True) -> Equilibrium:
        """A Markov perfect equilibrium in pure moves, as far as there is one.

        In each period and state the factories are in a *stage game*: what each of them gets is
        the reward of the period and what it can expect from then on. Of its equilibria in pure
        moves the one is taken whose welfare is the greatest, or the least. Whichever is taken
        decides what can be expected before, so over the whole game others may lie beyond both.

        Args:
            best: whether the greatest.
        """
        value, profile, unsolved = self._cases.refunds, self._nobody(), 0
        for period in reversed(range(self.config.periods)):
            gains = self._gains(value)
            case, missing = _equilibria(gains, self._cases.first, self._cases.options, best)
            value = gains[case]
            unsolved += missing
            self._write(profile, period, case)
        share = unsolved / (self.states * self.config.periods)
        return Equilibrium(profile, value[self.start], share, self.gain(profile))

    def stage(self) -> tuple[float, Floats]:
        """The stage game on its own: orders are placed once, from where an episode begins.

        In the period after, nobody orders; what has arrived is assembled, and the rest refunded.

        Returns:
            the most that all together can get, and the welfare of each equilibrium in pure moves,
            ascending: float64 [n].
        """
        idle = np.zeros((self.config.players, self.states, self.moves), np.float32)
        idle[:, :, 0] = 1
        gains = self._gains(self._expected(self._cases.refunds, idle))
        here = slice(self._cases.first[self.start], self._cases.first[self.start + 1])
        regrets = _regrets(gains[here], self._cases.options[self.start])
        welfare = gains[here].sum(axis=1)
        return float(welfare.max()), np.sort(welfare[regrets <= TIE])

    def _follow(self, value: Floats) -> Floats:
        """[K], what can be expected after each case, of the value of states [S]."""
        cases = self._cases
        return _follow(np.ascontiguousarray(value), cases.begins, cases.after, cases.chances)

    def _gains(self, value: Floats) -> Floats:
        """[K, P], what each case brings each factory, with the value [S, P] of what follows."""
        after = [self._follow(value[:, seat]) for seat in range(self.config.players)]
        return self._cases.rewards + np.stack(after, axis=1)

    def _against(self, value: Floats, policies: NDArray[np.float32], seat: int) -> Floats:
        """[S, A], what each move brings a factory; -inf for what it has no room for."""
        gains = self._cases.rewards[:, seat] + self._follow(value)
        return _against(gains, self._cases.first, self._cases.moves, policies, seat)

    def _expected(self, value: Floats, policies: NDArray[np.float32]) -> Floats:
        """[S, P], a period in which everybody follows a policy [P, S, A], and what follows."""
        each = []
        for seat in range(self.config.players):
            own = self._against(value[:, seat], policies, seat)
            own[policies[seat] == 0] = 0  # also what there is no room for
            each.append((policies[seat] * own).sum(axis=1))
        return np.stack(each, axis=1)

    def _anything(self) -> Profile:
        """Every factory draws from all the moves that it has room for."""
        profile = self._nobody()
        room = self.config.room
        free = (self._cases.options - 1) // 2
        parts = np.concatenate([[0], np.arange(1, room + 1), np.arange(1, room + 1)])
        legal = parts <= free[:, :, None]  # [S, P, A]
        profile[:] = (legal / legal.sum(2, keepdims=True)).swapaxes(0, 1)[:, None]
        return profile

    def _nobody(self) -> Profile:
        shape = (self.config.players, self.config.periods, self.states, self.moves)
        return np.zeros(shape, np.float32)

    def _write(self, profile: Profile, period: int, case: Ints) -> None:
        """Puts one case a state into a period of a profile."""
        for seat in range(self.config.players):
            profile[seat, period] = np.eye(self.moves)[self._cases.moves[case, seat]]


@njit(cache=True, nogil=True)
def _follow(value, begins, after, chances):  # type: ignore[no-untyped-def]
    """The mean of the values of what can follow each case."""
    out = np.zeros(len(begins) - 1)
    for case in range(len(out)):
        total = 0.0
        for k in range(begins[case], begins[case + 1]):
            total += chances[k] * value[after[k]]
        out[case] = total
    return out


@njit(cache=True, nogil=True)
def _best(gains, first):  # type: ignore[no-untyped-def]
    """The best case of every state."""
    out = np.zeros(len(first) - 1, np.int64)
    for state in range(len(out)):
        out[state] = first[state] + gains[first[state] : first[state + 1]].argmax()
    return out


@njit(cache=True, nogil=True)
def _against(gains, first, moves, policies, seat):  # type: ignore[no-untyped-def]
    """One seat's gains of its moves [S, A], over what the others do."""
    players, states, number = policies.shape
    out = np.full((states, number), -np.inf)
    for state in range(states):
        for case in range(first[state], first[state + 1]):
            chance = 1.0
            for other in range(players):
                if other != seat:
                    chance *= policies[other, state, moves[case, other]]
            own = moves[case, seat]
            if out[state, own] == -np.inf:
                out[state, own] = 0.0
            out[state, own] += chance * gains[case]
    return out


@njit(cache=True, nogil=True)
def _regrets(gains, options):  # type: ignore[no-untyped-def]
    """The most that one player would gain by another move, in each case of a state."""
    out = np.zeros(len(gains))
    for case in range(len(gains)):
        step = 1
        for k in range(len(options)):
            seat = len(options) - 1 - k
            others = case - case // step % options[seat] * step
            for move in range(options[seat]):
                gain = gains[others + move * step, seat] - gains[case, seat]
                out[case] = max(out[case], gain)
            step *= options[seat]
    return out


@njit(cache=True, nogil=True)
def _equilibria(gains, first, options, best):  # type: ignore[no-untyped-def]
    """An equilibrium of each stage game, as a case, and how many have none in pure moves."""
    out = np.zeros(len(first) - 1, np.int64)
    missing = 0
    for state in range(len(out)):
        regrets = _regrets(gains[first[state] : first[state + 1]], options[state])
        least = regrets.min()
        missing += least > TIE
        chosen, most = -1, 0.0
        for k in range(len(regrets)):
            if regrets[k] <= max(least, TIE):
                welfare = gains[first[state] + k].sum()
                if chosen < 0 or (welfare > most + TIE if best else welfare < most - TIE):
                    chosen, most = first[state] + k, welfare
        out[state] = chosen
    return out, missing
