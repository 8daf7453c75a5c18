"""A manager for any game: a seat that asks the others for deeds, and pays where they follow.

Every k rounds, before anybody moves, the manager speaks to each player that still plays, one after
the other, in turns of its own that take no time. What it can say to one is a short list: nothing,
or a deed of the game (:mod:`games.deeds`) with what it offers for it. The player reads that
sentence among its facts until the manager speaks again, and is paid for each own turn in which it
does what was asked: the offer, times how often the chosen move does it. An offer below zero is a
tax.

Rewards are split exactly. A player gets its raw reward and what it is paid. The manager gets the
sum of all raw rewards less kappa times all that is paid and taxed, so that it never profits from a
tax itself. One turn of a player moves at most ``max_payment``.

Where a game has a method ``overview()``, which says everything in the words of an onlooker, the
manager reads that; elsewhere it reads everything that each player reads ("player A reads: ...").
What kinds there are, and their options: :mod:`games.manager`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame, Step, check_moves
from games.deeds import seat_names
from games.manager import KINDS, ManagerConfig, Reads, Tally, find_asks
from games.options import configure
from games.text import MAX_PHRASES, PAD, Phrasebook
from games.wrapper import Wrapper

SCORING = ("raw", "agents", "manager", "payments", "taxes")
"""Sums over a game: raw rewards, the players' with what they were paid, the manager's, and what was
paid and taxed. Where a game has ``bounds``, what self-interest comes to and the most that can be
had, ``gap`` follows: the share of what lies between them that the raw rewards have closed."""

_STATE = ("asks", "turns", "last", "clock", "addressed", "alive", "totals", "inner")
_PREFIX = "managed_"


class Managed(Wrapper):
    """A game with a manager, or with one of its controls; see the module.

    The manager is the last seat. The other attributes are those of
    :class:`games.core.BatchedGame`.

    Args:
        game: the game as it is.
        config: what manages it.

    Attributes:
        asks: what can be said to one player, the first being nothing.
        max_payment: the most that one turn of a player moves, payment or tax.

    Raises:
        ValueError: if the game has no such deed, or a subsidy is not one offer.
    """

    def __init__(self, game: BatchedGame, config: ManagerConfig) -> None:
        super().__init__(game)
        self.config, self.agents = config, game.num_players
        self.asks = find_asks(game, config)
        names = seat_names(game.roles)
        self._tally = Tally(names, self.asks)
        self._advice = getattr(game, "advice", None)
        if config.manager == "scripted" and self._advice is None:
            raise ValueError(
                "nobody knows what is best for all in this game: manager=scripted "
                "is for the supply chain"
            )
        book = game.phrasebook
        if book.closed:
            book = Phrasebook(book, closed=False)
        self.phrasebook = book
        self._requests = _ids(book, [ask.request for ask in self.asks])
        spoken = ("everybody",) if config.together else names
        self._orders = np.stack([_ids(book, [ask.order(n) for ask in self.asks]) for n in spoken])
        self._records = np.stack([_ids(book, [ask.record(n) for ask in self.asks]) for n in names])
        self._now = _ids(book, [f"I speak to {name} now" for name in spoken])
        self._titles = _ids(book, [f"I am {name}" for name in names] if config.named else [])
        self._reads = Reads(book, names)
        self._looks = getattr(game, "overview", None)
        self._declare()
        closed = game.phrasebook.closed
        find = game.phrasebook.id if closed else book.intern
        self._worth = np.zeros((len(self.asks), len(game.phrasebook) if closed else MAX_PHRASES))
        for number, ask in enumerate(self.asks):
            for choice, amount in (ask.deed.choices if ask.deed else {}).items():
                self._worth[number, find(choice)] = ask.offer * amount
        book.closed = closed
        self.max_payment = float(np.abs(self._worth).max())

        self.num_players = self.agents + config.speaks
        self.roles = game.roles + ("manager",) * config.speaks
        self._bounds = getattr(game, "bounds", None)
        gap = ("gap",) if self._bounds else ()
        self.scoring = SCORING + gap + tuple(n for n in game.scoring if n not in SCORING)
        self.max_score = game.max_score if game.scoring[0] == "welfare" else None
        self._sees = game.max_facts if self._looks else self.agents * game.max_facts
        self.max_facts = game.max_facts + config.named + config.heard
        self.max_choices = game.max_choices
        if config.speaks:
            self.max_facts = max(self.max_facts, self._sees + self.agents + 1)
            self.max_choices = max(self.max_choices, len(self.asks))
            if game.max_turns is not None:
                turns = len(spoken) * ceil(game.max_turns / config.every)
                self.max_turns = max(game.max_turns, turns)
        self._clear()

    def _declare(self) -> None:
        """Finds what can occur as facts and choices; an open phrasebook may have grown."""
        facts, choices = [self.game.fact_phrases, self._titles], [self.game.choice_phrases]
        if self.config.heard:
            facts.append(self._requests)
        if self.config.speaks:
            choices.append(self._orders.ravel())
            facts += [self._records.ravel(), self._now]
            if self._looks:
                facts.append(self.game.onlooker_phrases)  # type: ignore[attr-defined]
            else:
                self._reads.cover(self.game.fact_phrases)
                facts.append(self._reads.all())
        self.fact_phrases = np.unique(np.concatenate(facts)).astype(np.int16)
        self.choice_phrases = np.unique(np.concatenate(choices)).astype(np.int16)

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Makes the choices of all due seats; see ``BatchedGame.step``.

        While the manager speaks in some of the games, nobody is due in the others.
        """
        if (self._addressed >= 0).any():
            return self._speak(check_moves(self, move_index))
        return self._act(move_index)

    def _speak(self, ask: NDArray[np.int64]) -> Step:
        """The manager says a sentence to one player in each game where it is due."""
        games = self.due_game
        seat = self._addressed[games]
        if self.config.together:
            self._asks[games] = ask[:, None]
            for each in range(self.agents):
                self._tally.add(np.full(len(ask), each), ask)
            self._addressed[games] = -1
        else:
            self._asks[games, seat] = ask
            self._tally.add(seat, ask)
            later = self._alive[games] & (np.arange(self.agents) > seat[:, None])
            self._addressed[games] = np.where(later.any(1), later.argmax(1), -1)
        n, p = self.num_games, self.num_players
        nobody = np.zeros((n, p), np.bool_)
        over, elapsed = np.zeros(n, np.bool_), np.zeros(n, np.int32)
        outcome = self._outcome()
        self._show()
        return Step(np.zeros((n, p), np.float32), nobody, nobody.copy(), over, elapsed, outcome)

    def _act(self, move_index: NDArray[np.integer]) -> Step:
        """The players move, and are paid."""
        game, seat = self.game.due_game.copy(), self.game.due_seat.copy()
        moves = check_moves(self, move_index)
        chosen = self.game.choices[np.arange(len(game)), moves]
        step = self.game.step(moves)
        paid = np.zeros((self.num_games, self.agents), np.float64)
        paid[game, seat] = self._worth[self._asks[game, seat], chosen]
        now = self._clock[game]
        self._turns[game, seat] += now > self._last[game, seat]
        self._last[game, seat] = now
        self._clock += step.elapsed
        rewards = self._split(step.rewards, paid)

        seats = self.num_players - self.agents
        alone = np.repeat(step.over[:, None], seats, axis=1)
        terminated = np.concatenate([step.terminated, alone], axis=1)
        truncated = np.concatenate([step.truncated, np.zeros_like(alone)], axis=1)
        if seats:
            # The manager's part is cut off where everybody's was.
            cut = step.over & step.truncated.any(1) & ~step.terminated.any(1)
            terminated[:, -1] &= ~cut
            truncated[:, -1] = cut
        for k, name in enumerate(self.game.scoring):
            self._inner[:, k] = step.outcome[name]
        outcome = self._outcome()
        self._alive &= ~(step.terminated | step.truncated)
        self._begin(step.over)
        self._show()
        return Step(rewards, terminated, truncated, step.over, step.elapsed, outcome)

    def _split(self, raw: NDArray[np.float32], paid: NDArray[np.float64]) -> NDArray[np.float32]:
        """Rewards of all seats, entered in the totals."""
        rewards = np.zeros((self.num_games, self.num_players), np.float32)
        if self.config.manager == "shared":
            share = raw.sum(1, dtype=np.float64) / np.maximum(1, self._alive.sum(1))
            rewards[:, : self.agents] = np.where(self._alive, share[:, None], 0)
        else:
            rewards[:, : self.agents] = raw + paid
        payments, taxes = paid.clip(min=0).sum(1), (-paid).clip(min=0).sum(1)
        total = raw.sum(1, dtype=np.float64)
        manager = (total - self.config.kappa * (payments + taxes)).astype(np.float32)
        rewards[:, self.agents :] = manager[:, None]
        agents = rewards[:, : self.agents].sum(1, dtype=np.float64)
        self._totals += np.stack([total, agents, manager, payments, taxes], axis=1)
        return rewards

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now; see ``BatchedGame.observe``."""
        if self.config.speaks and seat == self.agents:
            return self._manager_facts(np.arange(self.num_games))
        facts, counts = self.game.observe(seat)
        games, seats = np.arange(self.num_games), np.full(self.num_games, seat)
        return self._agent_facts(facts, counts, games, seats)

    def asked(self) -> dict[str, float]:
        """Who was told what since the last call: shares, by "factory-A/large-supplier+0.4"."""
        return self._tally.take()

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh; see ``BatchedGame.reset``."""
        self.game.reset(seeds)
        self._clear()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit."""
        own = {_PREFIX + name: getattr(self, f"_{name}").copy() for name in _STATE}
        return {**self.game.state(), **own}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned.

        Raises:
            ValueError: if the arrays come from another setting or number of games.
        """
        for name in _STATE:
            mine, other = getattr(self, f"_{name}"), arrays.get(_PREFIX + name)
            if other is None or other.shape != mine.shape or other.dtype != mine.dtype:
                raise ValueError(f"state {_PREFIX + name!r} must be {mine.dtype} {mine.shape}")
        self.game.load_state({k: v for k, v in arrays.items() if not k.startswith(_PREFIX)})
        for name in _STATE:
            getattr(self, f"_{name}")[:] = arrays[_PREFIX + name]
        self._show()

    def _clear(self) -> None:
        """Begins every game."""
        n, agents = self.num_games, self.agents
        self._asks = np.zeros((n, agents), np.int64)  # what each player was asked last
        # Own turns since the manager spoke, at different times: a choice may be a chain of several.
        self._turns = np.zeros((n, agents), np.int64)
        self._last = np.zeros((n, agents), np.int64)  # when each had its latest turn
        self._clock = np.zeros(n, np.int64)  # time since the episode began
        self._addressed = np.full(n, -1, np.int64)  # who is spoken to, -1 where nobody is
        self._alive = np.ones((n, agents), np.bool_)
        self._totals = np.zeros((n, len(SCORING)))
        self._inner = np.zeros((n, len(self.game.scoring)), np.float32)
        self._begin(np.ones(n, np.bool_))
        self._show()

    def _begin(self, over: NDArray[np.bool_]) -> None:
        """Starts what has restarted, and lets the manager speak where it is time."""
        due = self.game.due_game
        here = np.zeros(self.num_games, np.bool_)
        here[due] = True
        fresh = over & here
        self._alive[fresh] = True
        self._totals[fresh] = self._inner[fresh] = 0
        self._asks[fresh] = self.config.manager == "subsidy"
        self._clock[fresh], self._last[fresh] = 0, -1
        seat = self.game.due_seat
        enough = self._turns[due, seat] >= self.config.every
        late = due[enough & (self._clock[due] > self._last[due, seat])]
        fresh[late] = True
        self._turns[fresh] = 0
        if self.config.speaks:
            first = 0 if self.config.together else self._alive[fresh].argmax(1)
            self._addressed[fresh] = first
        elif self.config.manager == "scripted" and self._advice and fresh.any():
            self._asks[fresh] = self._worth[1, self._advice()[fresh]] != 0

    def _outcome(self) -> dict[str, NDArray[np.float32]]:
        """Every score as it stands."""
        found = {name: self._inner[:, k].copy() for k, name in enumerate(self.game.scoring)}
        own = {name: self._totals[:, k].astype(np.float32) for k, name in enumerate(SCORING)}
        if self._bounds:
            least, most = self._bounds
            own["gap"] = (own["raw"] - np.float32(least)) / np.float32(most - least)
        return {name: own[name] if name in own else found[name] for name in self.scoring}

    def _show(self) -> None:
        """Writes the rows of whoever is due."""
        game = self.game
        if not self.phrasebook.closed:
            self._declare()
        speaking = np.flatnonzero(self._addressed >= 0)
        if speaking.size:
            rows = len(speaking)
            self.due_game = speaking.astype(np.int32)
            self.due_seat = np.full(rows, self.agents, np.int8)
            self.facts, self.fact_counts = self._manager_facts(speaking)
            self.choices = np.full((rows, self.max_choices), PAD, np.int16)
            self.choices[:, : len(self.asks)] = self._orders[self._addressed[speaking]]
            self.choice_counts = np.full(rows, len(self.asks), np.int16)
            self.labels = np.full((rows, len(game.label_phrases)), -1, np.int8)
            return
        self.due_game, self.due_seat, self.labels = game.due_game, game.due_seat, game.labels
        self.facts, self.fact_counts = self._agent_facts(
            game.facts, game.fact_counts, game.due_game, game.due_seat
        )
        self.choices, self.choice_counts = game.choices, game.choice_counts
        if self.max_choices > game.max_choices:
            self.choices = np.full((len(game.choices), self.max_choices), PAD, np.int16)
            self.choices[:, : game.max_choices] = game.choices

    def _agent_facts(
        self,
        facts: NDArray[np.int16],
        counts: NDArray[np.int16],
        games: NDArray[np.integer],
        seats: NDArray[np.integer],
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Players' facts, with what they are called and asked where they read that."""
        out = np.full((len(facts), self.max_facts), PAD, np.int16)
        out[:, : facts.shape[1]] = facts
        rows, counts = np.arange(len(facts)), counts.copy()
        more = [self._titles[seats]] if self.config.named else []
        more += [self._requests[self._asks[games, seats]]] if self.config.heard else []
        for said in more:
            out[rows, counts] = said
            counts += np.int16(1)
        return out, counts

    def _manager_facts(
        self, games: NDArray[np.int64]
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What the manager knows: the game, what everybody is asked, and whom it speaks to."""
        out = np.full((len(games), self.max_facts), PAD, np.int16)
        counts = np.zeros(len(games), np.int16)
        if self._looks:
            facts, number = self._looks()
            out[:, : facts.shape[1]], counts = facts[games], number[games].copy()
        else:
            for seat in range(self.agents):
                facts, number = self.game.observe(seat)
                number = np.where(self._alive[games, seat], number[games], 0).astype(np.int16)
                columns = np.arange(facts.shape[1])
                row, column = np.nonzero(columns < number[:, None])
                said = self._reads.of(seat, facts[games][row, column])
                out[row, counts[row] + column] = said
                counts += number
        rows = np.arange(len(games))
        for seat in range(self.agents):
            out[rows, counts] = self._records[seat, self._asks[games, seat]]
            counts += self._alive[games, seat]  # of who has left, nothing is said
        addressed = self._addressed[games]
        out[rows, counts] = np.where(addressed >= 0, self._now[addressed], PAD)
        return out, (counts + (addressed >= 0)).astype(np.int16)


def _ids(book: Phrasebook, said: list[str]) -> NDArray[np.int16]:
    return np.array([book.intern(sentence) for sentence in said], np.int16)


def managed(game: BatchedGame, options: Mapping[str, Any]) -> Managed:
    """A game with a manager, from options that begin with "manager".

    Args:
        game: the game as it is.
        options: ``manager`` names the kind, and ``manager_every`` and so on the other fields of
            ``ManagerConfig``.

    Raises:
        ValueError: if an option is unknown or out of range, or the kind is not given.
    """
    if "manager" not in options:
        raise ValueError(f"{', '.join(options)} need a manager: add manager={KINDS[0]}")
    own = {name.removeprefix("manager_"): value for name, value in options.items()}
    own["manager"] = "none" if own["manager"] is None else own["manager"]  # as names are read
    return Managed(game, configure(ManagerConfig, own, what="manager"))
