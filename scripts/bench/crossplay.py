"""Cross-play of rule-based players: every pairing of two, beside games played one at a time.

First, the moves that each of them makes in a second, playing all seats of 1000 games in one thread.

Ours is all that ``troupe crossplay`` does: 1000 games a cell in one batch, a file a cell, and at
the end figures, tables, pictures and the page. The peer is IGGI, the simplest of the players,
written in plain Python on hanabi-learning-environment's own observations and moves, playing one
game after the other in one process. It has the same rules as our ``bot:iggi``, move by move (a test
compares them); only a hint that the rules leave to chance is drawn differently.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import games
from agents import bots
from marl.acting.evaluate import evaluate
from marl.acting.table import Table, play
from marl.core import Policy
from marl.crossplay import report
from marl.crossplay.cells import Crossplay, CrossplayConfig, Entrant
from scripts.bench import Row, rate

GAMES = 1000
"""Games of a cell."""

SPEED_PLAYERS = (2, 5)
"""Numbers of players at which moves are counted."""

PEER = "Python on hanabi-learning-environment, one game at a time"


def run(seconds: float) -> Iterator[Row]:
    """Measures."""
    names = tuple(f"bot:{name}" for name in bots.NAMES)
    entrants = [Entrant(f"bot:{name}", bots.make(name)) for name in bots.NAMES]
    config = CrossplayConfig(names, ("hanabi:2",), GAMES)
    for entrant in entrants:  # compiles
        evaluate(entrant.policy, config.parsed()[0], 2, 0)
    for entrant in entrants:
        for players in SPEED_PLAYERS:
            moves = _moves(entrant.policy, players, 0.1 * seconds / len(entrants))
            yield Row(f"{entrant.name}, {players} players", moves, "moves/s")
    with tempfile.TemporaryDirectory() as folder:
        yield from _matrix(Crossplay.open(config, entrants, Path(folder) / "out"), 0.4 * seconds)
    # The peer's pairing, and enough of its games for two digits.
    iggi = bots.make("iggi")
    ours = _rate(iggi, config, 0.1 * seconds)
    yield Row("IGGI with itself, 2 players", ours, "games/s")
    theirs, score = _peer(0.3 * seconds)
    what = f"IGGI with itself, 2 players (mean score {score:.1f})"
    yield Row(what, theirs, "games/s", PEER, ours / theirs)


def _matrix(crossplay: Crossplay, seconds: float) -> Iterator[Row]:
    """The cells, as many as fit in the time (at least one), and what is made of them."""
    pending = crossplay.pending()
    start = time.perf_counter()
    played = 0
    for cell in pending:
        crossplay.play(cell)
        played += 1
        if time.perf_counter() - start > seconds:
            break
    took = time.perf_counter() - start
    cells = f"{played}" if played == len(pending) else f"{played} of {len(pending)}"
    what = f"{cells} pairings of {len(crossplay.entrants)} bots, 2 players, {GAMES} games each"
    yield Row(what, took, "s")
    yield Row(what, played * GAMES / took, "games/s")
    if played == len(pending):
        start = time.perf_counter()
        report.write(crossplay)
        yield Row("its tables, pictures and page", time.perf_counter() - start, "s")


def _moves(policy: Policy, players: int, seconds: float) -> float:
    """Moves a second of one policy in all seats of a batch, the moves themselves included."""
    game = games.batched("hanabi", GAMES, 0, players=players)
    table = Table(game, [policy])
    return GAMES * rate(lambda: table.step(table.choose().choices), seconds)


def _rate(policy: Any, config: CrossplayConfig, seconds: float) -> float:
    """Games a second of one policy in all seats."""
    setting = config.parsed()[0]
    start, batches = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or not batches:
        play(setting.batched(GAMES, batches * GAMES), [policy])
        batches += 1
    return batches * GAMES / (time.perf_counter() - start)


def _peer(seconds: float) -> tuple[float, float]:
    """Games a second of the peer, and their mean score (a lost game counts 0)."""
    from hanabi_learning_environment import pyhanabi

    game = pyhanabi.HanabiGame({"players": 2, "random_start_player": False, "seed": 1})
    rng = random.Random(1)
    start, scores = time.perf_counter(), list[float]()
    while time.perf_counter() - start < seconds or not scores:
        state = game.new_initial_state()
        while not state.is_terminal():
            if state.cur_player() == pyhanabi.CHANCE_PLAYER_ID:
                state.deal_random_card()
            else:
                state.apply_move(iggi(state.observation(state.cur_player()), rng))
        scores.append(state.score())
    return len(scores) / (time.perf_counter() - start), sum(scores) / len(scores)


def iggi(observation: Any, rng: random.Random) -> Any:
    """IGGI's move, from an observation of hanabi-learning-environment of the full game.

    Play a card that is known and fits; play what certainly fits; tell of the first card that fits
    its rank, or its colour if its owner knows the rank; discard what certainly never fits; discard
    the oldest; tell anything.

    Args:
        observation: pyhanabi's, of the player to act.
        rng: for the last rule.

    Returns:
        pyhanabi's move.
    """
    from hanabi_learning_environment.pyhanabi import HanabiMove

    fireworks = observation.fireworks()
    knowledge = observation.card_knowledge()
    mine = [_possible(card) for card in knowledge[0]]
    hands = observation.observed_hands()

    def fits(colour: int, rank: int) -> bool:
        return bool(fireworks[colour] == rank)

    safe = [
        slot
        for slot, (colours, ranks) in enumerate(mine)
        if all(fits(c, r) for c in colours for r in ranks)
    ]
    if safe:
        known = [slot for slot in safe if len(mine[slot][0]) == len(mine[slot][1]) == 1]
        return HanabiMove.get_play_move((known or safe)[0])
    if observation.information_tokens() > 0:
        for offset in range(1, len(hands)):
            for card, told in zip(hands[offset], knowledge[offset], strict=True):
                if fits(card.color(), card.rank()):
                    colours, ranks = _possible(told)
                    if len(ranks) > 1:
                        return HanabiMove.get_reveal_rank_move(offset, card.rank())
                    if len(colours) > 1:
                        return HanabiMove.get_reveal_color_move(offset, card.color())
    if observation.information_tokens() < 8:
        ends = _ends(observation)
        for slot, (colours, ranks) in enumerate(mine):
            if all(r < fireworks[c] or r > ends[c] for c in colours for r in ranks):
                return HanabiMove.get_discard_move(slot)
        return HanabiMove.get_discard_move(0)
    offset = rng.randrange(1, len(hands))
    card = rng.choice(hands[offset])
    if rng.random() < 0.5:
        return HanabiMove.get_reveal_rank_move(offset, card.rank())
    return HanabiMove.get_reveal_color_move(offset, card.color())


def _possible(card: Any) -> tuple[list[int], list[int]]:
    """The colours and ranks that hints leave possible for a card."""
    colours = [c for c in range(5) if card.color_plausible(c)]
    return colours, [r for r in range(5) if card.rank_plausible(r)]


def _ends(observation: Any) -> list[int]:
    """The first rank of each colour of which every copy is discarded; 5 if there is none."""
    gone = [[0] * 5 for _ in range(5)]
    for card in observation.discard_pile():
        gone[card.color()][card.rank()] += 1
    copies = (3, 2, 2, 2, 1)
    return [next((r for r in range(5) if gone[c][r] == copies[r]), 5) for c in range(5)]
