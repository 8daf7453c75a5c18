"""The actors of a run: the games of every setting, and how each of them explores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from agents.r3d2.answers import AnswerSheets
from games.core import BatchedGame
from games.other_play import OtherPlay
from games.text import Phrasebook, Translation
from marl.acting.actor import Actor, exploration_spectrum, spread_over, temperature_spectrum
from marl.acting.off_belief import OffBelief, Worlds
from marl.core import Policy
from marl.episodes import Episodes
from marl.runs.config import TrainConfig

TRAINING_SEED = 2**63
"""Added to the seeds of training games."""


def games_each(config: TrainConfig, shares: int = 1) -> int:
    """Games that a setting gets, of which some worlds play fewer at once; in one of some shares."""
    return max(config.actor.num_games // (len(config.games) * shares), 1)


def make_games(config: TrainConfig, seeds: Sequence[int], shares: int = 1) -> list[BatchedGame]:
    """The games that a run trains with, a batch for each setting.

    Args:
        config: of the run.
        seeds: one for each setting.
        shares: processes or threads among which a setting's games are divided.
    """
    most, found = games_each(config, shares), []
    for setting, seed in zip(config.settings(), seeds, strict=True):
        seed += TRAINING_SEED
        game = setting.batched(min(most, setting.at_once), seed)
        found.append(OtherPlay(game, seed) if config.actor.other_play else game)
    return found


@dataclass(frozen=True)
class Exploration:
    """How a batch of games explores.

    Attributes:
        epsilons: float64 [N], rate of random moves.
        temperatures: float32 [N], of the softmax over values; None for the best move always.
    """

    epsilons: NDArray[np.float64]
    temperatures: NDArray[np.float32] | None


def explorations(
    config: TrainConfig, num_games: Sequence[int], share: int = 0, shares: int = 1
) -> list[Exploration]:
    """How the games of every setting explore, from the most curious to the greediest.

    Args:
        config: of the run.
        num_games: of each setting.
        share: which of the shares of a setting's games these are.
        shares: how many there are.
    """
    games, found = games_each(config, shares) * shares, []
    for one, count in zip(config.hyperparameters(), num_games, strict=True):
        spectra: tuple[NDArray[Any], NDArray[Any]] = (
            exploration_spectrum(games, one.epsilon, one.epsilon_spread),
            temperature_spectrum(games, one.temperature, one.temperature_spread),
        )
        found.append(Exploration(*(spread_over(s[share::shares], count) for s in spectra)))
    return found


def make_actors(
    config: TrainConfig,
    playing: Sequence[BatchedGame],
    policy: Policy,
    insert: Callable[[Episodes], None],
    exploring: Sequence[Exploration],
    seeds: Sequence[int],
    *,
    answers: AnswerSheets,
    book: Phrasebook,
    teaching: bool = False,
    partners: Sequence[Policy] = (),
    critic: Policy | None = None,
) -> list[Actor]:
    """An actor for each setting, all with the same policy; see ``Actor``.

    Args:
        config: of the run.
        playing: the games of each setting.
        policy: who plays.
        insert: takes what was played.
        exploring: how, in each setting.
        seeds: of each setting's exploration.
        answers: the sheets of all settings, in the words of ``book``.
        book: the phrasebook whose ids are recorded.
        teaching: whether the policy is a teacher.
        partners: who may hold other seats.
        critic: in off-belief learning, whose values stand for what comes after a world.

    Raises:
        ValueError: if a game cannot be learned off-belief, where that is asked for.
    """
    sheets = [Translation(game.phrasebook, book)(game.label_phrases) for game in playing]
    return [
        Actor(
            game,
            policy,
            insert,
            exploring[i].epsilons,
            seeds[i],
            setting=i,
            max_length=config.replay.max_length,
            overlap=config.learner.burn_in,
            label_size=answers.slots,
            label_slot=answers.place(sheets[i]),
            book=book,
            temperatures=exploring[i].temperatures,
            teaching=teaching,
            partners=partners,
            seating=config.partners.seating(game.num_players) if partners else None,
            idle_manager=config.actor.idle_manager,
            state_dependent=config.actor.state_dependent,
            function=config.seed,
            off_belief=None if critic is None else _off_belief(config, i, game, policy, critic),
        )
        for i, game in enumerate(playing)
    ]


def _off_belief(
    config: TrainConfig, setting: int, game: BatchedGame, policy: Policy, critic: Policy
) -> OffBelief:
    if not hasattr(game, "worlds"):
        raise ValueError(
            f"{config.games[setting]} does not say what its seats may believe, so that it cannot "
            "be learned with learner.off_belief; hanabi does"
        )
    own = config.hyperparameters()[setting]
    return OffBelief(
        cast(Worlds, game),
        policy,
        critic,
        n_step=own.n_step,
        gamma=own.gamma,
        reward_scale=config.learner.reward_scale,
    )
