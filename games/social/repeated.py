"""Games of one decision, made again and again: to cooperate or not, known by what came before.

What a player gets depends on its own choice and on how many of the others cooperate. Two games are
made of it. In the prisoner's dilemma everybody gains by defecting, and all lose by it. In the stag
hunt nobody gains by leaving the others once they hunt the stag, but whoever does not trust them
hunts hares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from games.deeds import Deed
from games.simultaneous import Kernels, Simultaneous
from games.social import latest
from games.social.latest import MAX_PLAYERS
from games.words import number, plural

MAX_ROUNDS = 1000
SCORING = ("welfare", "cooperation")
"""All that was earned; share of the choices that cooperated."""

GAME = np.dtype(
    [
        *latest.GAME_FIELDS,  # an act is 1 to cooperate
        ("cooperated", np.int64),  # choices so far
        ("outcome", np.float64, len(SCORING)),
    ],
    align=True,
)
RULES = np.dtype(
    [
        *latest.RULES_FIELDS,
        ("pays", np.float64, (2, MAX_PLAYERS)),  # own choice, others that cooperate
    ],
    align=True,
)


def _check_rounds(rounds: int) -> None:
    if not 1 <= rounds <= MAX_ROUNDS:
        raise ValueError(f"rounds must be from 1 to {MAX_ROUNDS}, got {rounds}")


@dataclass(frozen=True)
class DilemmaConfig:
    """The prisoner's dilemma. The defaults are those of LIO.

    Attributes:
        players: 2.
        rounds: of an episode.
        reward: for each, if both cooperate.
        temptation: for defecting while the other cooperates.
        sucker: for cooperating while the other defects.
        punishment: for each, if both defect.

    Raises:
        ValueError: if it is no dilemma, or the rounds are out of range.
    """

    players: int = 2
    rounds: int = 5
    reward: float = -1.0
    temptation: float = 0.0
    sucker: float = -3.0
    punishment: float = -2.0

    def __post_init__(self) -> None:
        _check_rounds(self.rounds)
        if not self.temptation > self.reward > self.punishment > self.sucker:
            raise ValueError(
                "a prisoner's dilemma needs temptation > reward > punishment > sucker, got "
                f"{self.temptation}, {self.reward}, {self.punishment}, {self.sucker}"
            )

    @property
    def pays(self) -> list[list[float]]:
        """What a player gets, by its own choice (defect, cooperate) and cooperating others."""
        return [[self.punishment, self.temptation], [self.sucker, self.reward]]

    @property
    def head(self) -> tuple[str, ...]:
        """The setting in sentences."""
        return (
            f"if both cooperate each gets {number(self.reward)}",
            f"if both defect each gets {number(self.punishment)}",
            f"who defects alone gets {number(self.temptation)}",
            f"who cooperates alone gets {number(self.sucker)}",
        )


@dataclass(frozen=True)
class StagHuntConfig:
    """The stag hunt.

    Attributes:
        players: 2 to 5.
        rounds: of an episode.
        hunters: that a stag takes; 0 for all.
        stag: for each that hunts it, if they are enough.
        hare: for each that hunts hares.

    Raises:
        ValueError: if it is no stag hunt, or a value is out of range.
    """

    players: int = 2
    rounds: int = 10
    hunters: int = 0
    stag: float = 4.0
    hare: float = 1.0

    def __post_init__(self) -> None:
        _check_rounds(self.rounds)
        if not 2 <= self.players <= MAX_PLAYERS:
            raise ValueError(f"players must be from 2 to {MAX_PLAYERS}, got {self.players}")
        if self.hunters != 0 and not 2 <= self.hunters <= self.players:
            raise ValueError(
                f"hunters must be from 2 to {self.players}, or 0 for all, got {self.hunters}"
            )
        if not self.stag > self.hare > 0:
            raise ValueError(
                f"a stag must be worth more than hares, and these more than 0, got {self.stag} "
                f"and {self.hare}"
            )

    @property
    def needed(self) -> int:
        """Hunters that a stag takes."""
        return self.hunters or self.players

    @property
    def pays(self) -> list[list[float]]:
        """What a player gets, by its own choice (hares, stag) and others that hunt the stag."""
        caught = [self.stag if others + 1 >= self.needed else 0.0 for others in range(self.players)]
        return [[self.hare] * self.players, caught]

    @property
    def head(self) -> tuple[str, ...]:
        """The setting in sentences."""
        return (
            f"there are {self.players} hunters",
            f"a stag takes {plural(self.needed, 'hunter')} and gives each {number(self.stag)}",
            f"hares give {number(self.hare)}",
        )


@dataclass(frozen=True)
class _Names:
    """What a game calls its two choices: the one that does not cooperate, and the one that does."""

    role: str
    acts: tuple[str, str]
    did: tuple[str, str]
    offers: tuple[float, float]


_NAMES = {
    DilemmaConfig: _Names(
        "player", ("defect", "cooperate"), ("defected", "cooperated"), (-1.2, 1.2)
    ),
    StagHuntConfig: _Names(
        "hunter", ("hunt hares", "hunt the stag"), ("hunted hares", "hunted the stag"), (-0.5, 0.5)
    ),
}


class RepeatedBatched(Simultaneous):
    """N games of one decision a round; see :class:`games.simultaneous.Simultaneous`."""

    def __init__(
        self,
        config: DilemmaConfig | StagHuntConfig,
        num_games: int = 1,
        seed: int = 0,
        restart: bool = True,
    ) -> None:
        self.config = config
        names, players = _NAMES[type(config)], config.players
        words = latest.Words(
            role=names.role,
            head=config.head,
            acts=names.acts,
            mine=tuple(f"I {did}" for did in names.did),
            theirs=names.did,
        )
        rules = np.zeros(1, RULES)[0]
        rules["pays"][:, :players] = config.pays
        deeds = [
            Deed(
                names.acts[act].replace(" ", "-"),
                names.acts[act],
                {f"I {names.acts[act]}": 1.0},
                offers=(0.0, names.offers[act]),
            )
            for act in (1, 0)
        ]
        sheet = latest.sheet(
            words, players, config.rounds, rules, SCORING, optimum(config), deeds, since=1
        )
        super().__init__(sheet, KERNELS, rules, GAME, num_games, seed, restart)


def optimum(config: DilemmaConfig | StagHuntConfig) -> float:
    """The most that all together can get: nothing carries over, so the best round counts."""
    alone, together = config.pays
    players = config.players
    rounds = [
        (k * together[k - 1] if k else 0.0) + ((players - k) * alone[k] if k < players else 0.0)
        for k in range(players + 1)
    ]
    return config.rounds * max(rounds)


@njit(cache=True, nogil=True)
def begin(games, rules, which):  # type: ignore[no-untyped-def]
    """Starts games; see ``Kernels.begin``."""
    for i in range(len(games)):
        if which[i]:
            games[i].round = 0
            games[i].cooperated = 0
            games[i].latest[:] = 0
            games[i].outcome[:] = 0.0


@njit(cache=True, nogil=True)
def play(games, rules, moves, running, rewards, over):  # type: ignore[no-untyped-def]
    """A round; see ``Kernels.play``."""
    for i in range(len(games)):
        if not running[i]:
            continue
        game = games[i]
        together = 0
        for seat in range(rules.players):
            game.latest[seat] = moves[i, seat] - rules.act
            together += game.latest[seat]
        for seat in range(rules.players):
            own = game.latest[seat]
            rewards[i, seat] = rules.pays[own, together - own]
            game.outcome[0] += rewards[i, seat]
        game.round += 1
        game.cooperated += together
        game.outcome[1] = game.cooperated / (game.round * rules.players)
        over[i] = game.round == rules.rounds


KERNELS = Kernels(begin, play, latest.view, latest.offer)
