"""The engine against hanabi-learning-environment and OpenSpiel, move by move."""

from __future__ import annotations

import random
from typing import Any

import pytest

from games.hanabi import HanabiConfig, configure
from tests.games.hanabi_reference import Position, Record, normalise, pick, replay

SETTINGS = {
    "2p": configure(players=2),
    "3p": configure(players=3),
    "4p": configure(players=4),
    "5p": configure(players=5),
    "small": configure("small"),
    "very-small": configure("very-small"),
    "small-3p": configure("small", players=3),
    "odd": HanabiConfig(3, colours=4, ranks=3, hand_size=7, information_tokens=5, life_tokens=6),
    "one-card": HanabiConfig(5, colours=3, ranks=2, hand_size=1, information_tokens=1),
    "no-deck": HanabiConfig(2, colours=5, ranks=5, hand_size=25, life_tokens=50),
    "no-hints": HanabiConfig(4, ranks=1, hand_size=2, information_tokens=0, life_tokens=2),
}


def parameters(config: HanabiConfig) -> dict[str, int]:
    """A setting in the reference's names."""
    return {
        "players": config.players,
        "colors": config.colours,
        "ranks": config.ranks,
        "hand_size": config.hand,
        "max_information_tokens": config.information_tokens,
        "max_life_tokens": config.life_tokens,
    }


def record_hle(config: HanabiConfig, rng: random.Random, careful: float) -> Record:
    """Plays one game of hanabi-learning-environment."""
    from hanabi_learning_environment import pyhanabi

    game = pyhanabi.HanabiGame({**parameters(config), "seed": rng.randrange(2**31)})
    state = game.new_initial_state()
    record = Record()

    def deal() -> list[list[Any]]:
        """Lets the engine deal what is due; returns all hands, as costly to ask for as a move."""
        while state.cur_player() == pyhanabi.CHANCE_PLAYER_ID:
            state.deal_random_card()
        return state.player_hands()

    hands = deal()
    record.drawn = [(card.color(), card.rank()) for hand in hands for card in hand]
    while not state.is_terminal():
        seat = state.cur_player()
        observation = state.observation(seat)
        moves = {str(move): move for move in state.legal_moves()}
        playable = [state.card_playable_on_fireworks(c.color(), c.rank()) for c in hands[seat]]
        position = Position(seat, list(moves), normalise(str(observation)))
        position.move = pick(rng, list(moves), playable, careful)
        score, left = state.score(), state.deck_size()
        state.apply_move(moves[position.move])
        hands = deal()
        if state.deck_size() < left:
            record.drawn.append((hands[seat][-1].color(), hands[seat][-1].rank()))
        position.reward = state.score() - score
        position.over = state.is_terminal()
        record.positions.append(position)
    record.score = state.score()
    return record


def record_open_spiel(config: HanabiConfig, rng: random.Random, careful: float) -> Record:
    """Plays one game of OpenSpiel's Hanabi."""
    import pyspiel

    game = pyspiel.load_game("hanabi", parameters(config))
    state = game.new_initial_state()
    record = Record()

    def deal() -> None:
        while state.is_chance_node():
            cards, chances = zip(*state.chance_outcomes(), strict=True)
            card = rng.choices(cards, chances)[0]
            record.drawn.append(divmod(card, config.ranks))
            state.apply_action(card)

    deal()
    while not state.is_terminal():
        seat = state.current_player()
        observation = normalise(state.observation_string(seat))
        actions = {state.action_to_string(seat, a): a for a in state.legal_actions()}
        # OpenSpiel tells no seat its own cards: the next seat's view shows them.
        view = normalise(state.observation_string((seat + 1) % config.players)).splitlines()
        fireworks = {word[0]: int(word[1]) for word in view[2].split()[1:]}
        hand = view[len(view) - view[::-1].index("-----") : -2]
        playable = [fireworks[card[0]] == int(card[1]) - 1 for card in hand]
        position = Position(seat, list(actions), observation)
        position.move = pick(rng, list(actions), playable, careful)
        state.apply_action(actions[position.move])
        deal()
        position.reward = state.rewards()[seat]
        position.over = state.is_terminal()
        record.positions.append(position)
    record.score = state.returns()[0]
    return record


RECORDERS = {"hle": record_hle, "open_spiel": record_open_spiel}


def compare(engine: str, setting: str, moves: int, batch: int = 64) -> None:
    """Compares at least ``moves`` moves: a third uniform play, the rest more or less careful."""
    pytest.importorskip("hanabi_learning_environment" if engine == "hle" else "pyspiel")
    config, rng, compared = SETTINGS[setting], random.Random(f"{engine} {setting} {moves}"), 0
    while compared < moves:
        records = [
            RECORDERS[engine](config, rng, (0.0, 0.9, 1.0)[game % 3]) for game in range(batch)
        ]
        compared += replay(config, records)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("engine", RECORDERS)
def test_agrees_with_reference(engine: str, setting: str) -> None:
    """Legal moves, rewards, ends, scores and all that a seat may know are the reference's."""
    compare(engine, setting, 10_000 if setting in ("2p", "3p", "4p", "5p") else 2_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("engine", RECORDERS)
def test_agrees_with_reference_for_a_million_moves(engine: str, setting: str) -> None:
    """The same, over 1,000,000 moves of every player count and 100,000 of every variant."""
    compare(engine, setting, 1_000_000 if setting in ("2p", "3p", "4p", "5p") else 100_000)
