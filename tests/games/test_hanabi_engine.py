"""The batched engine: what it shows, what it hides, and what its randomness depends on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import games
from games.hanabi import HanabiBatched, HanabiConfig, configure
from games.hanabi.decode import Kind, View, decode, decode_choice
from games.hanabi.engine import DISCARD, HINT, NO_MOVE, PLAY
from games.hanabi.phrases import PHRASEBOOK
from games.hanabi.rules import COLOURS, MAX_COLOURS, MAX_RANKS

SETTINGS = {
    "2p": configure(players=2),
    "3p": configure(players=3, random_first_player=True),
    "4p": configure(players=4),
    "5p": configure(players=5, bomb="keep"),
    "small": configure("small"),
    "very-small": configure("very-small"),
    "plain": configure("plain", players=3),
    "odd": HanabiConfig(3, colours=4, ranks=3, hand_size=7, information_tokens=5, life_tokens=6),
    "no-deck": HanabiConfig(2, hand_size=25, life_tokens=50),
}
each_setting = pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS.keys())


def random_moves(batch: HanabiBatched, rng: np.random.Generator) -> np.ndarray:
    """A legal move for every game, seldom a play: uniform play is over too soon."""
    moves = (rng.random(batch.num_games) * batch.choice_counts).astype(np.int64)
    plays = np.isin(batch.choices[np.arange(batch.num_games), moves], PLAYS)
    again = (rng.random(batch.num_games) * batch.choice_counts).astype(np.int64)
    return np.where(plays & (rng.random(batch.num_games) < 0.8), again, moves)


PLAYS = PHRASEBOOK.parse([f"I play card {slot + 1}" for slot in range(25)])


def rows(batch: HanabiBatched) -> list[np.ndarray]:
    """Copies of all that a batch shows."""
    live = (batch.facts, batch.fact_counts, batch.choices, batch.choice_counts, batch.seat)
    return [array.copy() for array in (*live, batch.labels)]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# What it shows


def check_view(
    view: View, state: dict[str, Any], i: int, viewer: int, config: HanabiConfig
) -> None:
    """Asserts that a view says exactly what the record of game i says, except what is hidden."""
    game = {name: array[i] for name, array in state.items()}
    deck = config.deck_size - int(game["drawn"])
    setting = (config.players, config.hand, config.colours, config.ranks)
    assert (view.players, view.hand_size, view.colours, view.ranks) == setting
    assert view.max_tokens == config.information_tokens
    assert view.max_lives == config.life_tokens
    assert view.keeps_points == (config.bomb == "keep")
    assert (view.tokens, view.lives, view.deck) == (game["tokens"], game["lives"], deck)
    assert view.turns_left == (game["turns_left"] if deck == 0 else None)
    assert view.fireworks == game["fireworks"][: config.colours].tolist()
    discards = game["discards"].reshape(MAX_COLOURS, MAX_RANKS)
    assert np.array_equal(view.discards, discards[: config.colours, : config.ranks])
    for offset in range(config.players):
        seat = (viewer + offset) % config.players
        cards = slice(seat * config.hand, seat * config.hand + int(game["sizes"][seat]))
        held = [divmod(int(card), MAX_RANKS) for card in game["cards"][cards]]
        assert view.hands[offset] == (held if offset else [])
        for possible, masks, options in (
            (view.possible_colours, game["colours"][cards], config.colours),
            (view.possible_ranks, game["ranks"][cards], config.ranks),
        ):
            expected = masks[:, None] >> np.arange(options) & 1
            assert np.array_equal(possible[offset, : len(held)], expected.astype(bool))
            assert possible[offset, len(held) :].all()
        check_event(view, game, offset, seat, viewer, config)


def check_event(
    view: View, game: dict[str, Any], offset: int, seat: int, viewer: int, config: HanabiConfig
) -> None:
    event, kind = view.events[offset], game["kind"][seat]
    if kind == NO_MOVE:
        assert event is None
        return
    assert event is not None
    if kind == HINT:
        hint = int(game["hint"][seat])
        told = Kind.TELL_COLOUR if hint < MAX_COLOURS else Kind.TELL_RANK
        assert event.move.kind is told
        assert event.move.value == hint % MAX_COLOURS
        assert event.move.target == (int(game["target"][seat]) - viewer) % config.players
        touched = int(game["touched"][seat])
        assert event.touched == [s for s in range(config.hand) if touched >> s & 1]
        assert event.touched  # a hint that touches nothing is not legal
    else:
        assert event.move.kind is {PLAY: Kind.PLAY, DISCARD: Kind.DISCARD}[int(kind)]
        assert event.move.slot == game["slot"][seat]
        assert event.card == divmod(int(game["card"][seat]), MAX_RANKS)
        assert event.outcome == game["outcome"][seat]


@each_setting
def test_facts_say_what_the_state_says(config: HanabiConfig) -> None:
    """Facts of every seat, to act or not, decode to the state."""
    batch, rng = HanabiBatched(config, 32, seed=5), np.random.default_rng(0)
    for _ in range(60):
        state = batch.state()
        for viewer in range(config.players):
            facts, counts = batch.observe(viewer)
            assert (facts[np.arange(batch.max_facts) >= counts[:, None]] == games.PAD).all()
            mine = batch.seat == viewer
            assert np.array_equal(facts[mine], batch.facts[mine])
            assert np.array_equal(counts[mine], batch.fact_counts[mine])
            for i in range(0, 32, 4):
                check_view(decode(facts[i]), state, i, viewer, config)
        batch.step(random_moves(batch, rng))


def prospects(view: View, own_cards: int, config: HanabiConfig) -> set[str]:
    """What a view lets its reader say of every card, worked out card by card."""

    def left(colour: int, rank: int) -> int:
        played = view.fireworks[colour] > rank
        return config.copies(rank) - int(view.discards[colour, rank]) - played

    def useless(card: tuple[int, int]) -> bool:
        colour, rank = card
        height = view.fireworks[colour]
        return rank < height or any(not left(colour, below) for below in range(height, rank + 1))

    def fits(card: tuple[int, int]) -> bool:
        return view.fireworks[card[0]] == card[1] and not useless(card)

    said = set()
    for seat in range(config.players):
        name = f"partner {'ABCD'[seat - 1]}"
        for slot, card in enumerate(view.hands[seat]):
            held = f"{name} card {slot + 1}"
            said |= {f"{held} fits now"} if fits(card) else set()
            said |= {f"{held} is useless"} if useless(card) else set()
            last = left(*card) == 1 and not useless(card)
            said |= {f"{held} is the last of its kind"} if last else set()
        size = len(view.hands[seat]) if seat else own_cards
        for slot in range(size):
            possible = [
                (colour, rank)
                for colour in np.flatnonzero(view.possible_colours[seat, slot]).tolist()
                for rank in np.flatnonzero(view.possible_ranks[seat, slot]).tolist()
                if left(colour, rank)
            ]
            knows = f"{name} knows card {slot + 1}" if seat else f"I know card {slot + 1}"
            if all(map(fits, possible)):
                said.add(f"{knows} fits now")
            elif all(map(useless, possible)):
                said.add(f"{knows} is useless")
            elif not any(map(fits, possible)):
                said.add(f"{knows} does not fit yet")
    return said


@each_setting
def test_a_glance_says_what_follows_from_the_other_facts(config: HanabiConfig) -> None:
    batch = HanabiBatched(replace(config, glance=True), 16, seed=6)
    plain = HanabiBatched(replace(config, glance=False), 16, seed=6)
    rng, met = np.random.default_rng(6), set()
    for _ in range(100):
        sizes = batch.state()["sizes"][np.arange(16), batch.seat]
        for i, size in enumerate(sizes.tolist()):
            facts = PHRASEBOOK.render(batch.facts[i])
            expected = prospects(decode(batch.facts[i]), size, config)
            without = PHRASEBOOK.render(plain.facts[i])
            assert facts[: len(without)] == without
            assert set(facts[len(without) :]) == expected
            met |= {sentence.split(" card ")[1][2:] for sentence in expected}
        moves = random_moves(batch, rng)
        batch.step(moves)
        plain.step(moves)
    assert met >= {"fits now", "is useless"}


@each_setting
def test_rows_keep_to_their_bounds(config: HanabiConfig) -> None:
    """Padding, widths, sorted distinct ids, and only phrases that the setting lists."""
    batch, rng = HanabiBatched(config, 64, seed=1), np.random.default_rng(1)
    assert np.array_equal(np.unique(batch.fact_phrases), batch.fact_phrases)
    assert np.array_equal(np.unique(batch.choice_phrases), batch.choice_phrases)
    assert len(batch.choice_phrases) == batch.max_choices
    seen = set()
    for _ in range(150):
        for array, counts, allowed in (
            (batch.facts, batch.fact_counts, batch.fact_phrases),
            (batch.choices, batch.choice_counts, batch.choice_phrases),
        ):
            used = np.arange(array.shape[1]) < counts[:, None]
            assert (counts > 0).all()
            assert (array[~used] == games.PAD).all()
            assert np.isin(array[used], allowed).all()
            seen.update(array[used].tolist())
            row = array[0, : counts[0]].tolist()
            assert len(set(row)) == len(row)
        batch.step(random_moves(batch, rng))
    assert set(batch.choice_phrases.tolist()) <= seen


@each_setting
def test_labels_are_the_acting_seats_cards(config: HanabiConfig) -> None:
    batch = HanabiBatched(replace(config, answers="cards"), 16, seed=2)
    rng = np.random.default_rng(2)
    for _ in range(40):
        state = batch.state()
        for i, seat in enumerate(batch.seat):
            size = state["sizes"][i, seat]
            cards = state["cards"][i, seat * config.hand : seat * config.hand + size]
            expected = cards // MAX_RANKS * config.ranks + cards % MAX_RANKS
            assert np.array_equal(batch.labels[i, :size], expected)
            assert (batch.labels[i, size:] == -1).all()
        batch.step(random_moves(batch, rng))


@each_setting
def test_an_answer_sheet_may_say_what_can_be_done_with_a_card(config: HanabiConfig) -> None:
    """By the rules: it is next on its firework, or can never be played, or may be later."""
    batch = HanabiBatched(config, 16, seed=2)
    twin = HanabiBatched(replace(config, answers="cards"), 16, seed=2)
    rng, seen = np.random.default_rng(2), set()
    said = batch.phrasebook.render(batch.label_phrases[0])
    assert said == [
        f"I know card 1 {use}" for use in ("fits now", "is useless", "does not fit yet")
    ]
    for _ in range(60):
        state = twin.state()
        for i in range(16):
            for slot, label in enumerate(twin.labels[i]):
                if label < 0:
                    assert batch.labels[i, slot] == -1
                    continue
                colour, rank = divmod(int(label), config.ranks)
                height, discards = state["fireworks"][i, colour], state["discards"][i]
                below = range(height, rank + 1)
                dead = any(discards[5 * colour + r] == config.copies(r) for r in below)
                use = 1 if rank < height or dead else 0 if rank == height else 2
                assert batch.labels[i, slot] == use
                seen.add(use)
        moves = random_moves(batch, rng)
        for game in (batch, twin):
            game.step(moves)
    assert seen == {0, 1, 2}


# What it hides


def hidden_deal(
    rng: np.random.Generator, state: dict[str, Any], i: int, viewer: int, config: HanabiConfig
) -> np.ndarray:
    """Another order of game i's deck that the viewer cannot tell from the true one.

    The cards in its hand and those not drawn yet change places at random, as long as each card
    of the hand still agrees with every hint that it got.
    """
    deck = state["deck"][i, : config.deck_size].copy()
    drawn, first = int(state["drawn"][i]), viewer * config.hand
    slots = range(first, first + int(state["sizes"][i, viewer]))
    held = state["held"][i, slots]  # where in the deck each card of the hand lay
    hidden = np.concatenate([held, np.arange(drawn, config.deck_size)]).astype(int)
    for _ in range(200):
        pool = rng.permutation(deck[hidden]).tolist()
        hand = []
        for slot in slots:
            colours, ranks = state["colours"][i, slot], state["ranks"][i, slot]
            fits = [c for c in pool if colours >> c // MAX_RANKS & 1 and ranks >> c % MAX_RANKS & 1]
            if not fits:
                break
            hand.append(fits[0])
            pool.remove(fits[0])
        else:
            other = deck.copy()
            other[hidden] = hand + pool
            return other
    return deck


class Tracker:
    """Follows where in the deck each held card lay, which the engine has no need to know."""

    def __init__(self, batch: HanabiBatched) -> None:
        config = batch.config
        self.batch = batch
        self.hands = [
            [
                list(range(seat * config.hand, (seat + 1) * config.hand))
                for seat in range(config.players)
            ]
            for _ in range(batch.num_games)
        ]

    def step(self, choices: list[int]) -> None:
        """Follows one move in every game, before it is made."""
        drawn = self.batch.state()["drawn"]
        for i, choice in enumerate(choices):
            slot = decode_choice(choice).slot
            if slot is not None:
                hand = self.hands[i][self.batch.seat[i]]
                del hand[slot]
                if drawn[i] < self.batch.config.deck_size:
                    hand.append(int(drawn[i]))

    def held(self) -> np.ndarray:
        config = self.batch.config
        held = np.full((self.batch.num_games, config.players * config.hand), -1)
        for i, hands in enumerate(self.hands):
            for seat, hand in enumerate(hands):
                held[i, seat * config.hand : seat * config.hand + len(hand)] = hand
        return held


@each_setting
@pytest.mark.parametrize("turns", [1, 6, 20, 45])
def test_hidden_cards_never_change_what_a_seat_observes(config: HanabiConfig, turns: int) -> None:
    """A whole game replayed with other hidden cards looks the same to that seat throughout.

    After some turns the cards that a seat cannot see (its own hand and the deck) are exchanged
    for others that fit every hint; the game is replayed from its first move with that deck, and
    everything that the seat observes, on its turns and between them, must be the same.
    """
    n, config = 24, replace(config, answers="cards")
    batch, rng = HanabiBatched(config, n, seed=turns, restart=False), np.random.default_rng(turns)
    start = batch.state()
    tracker = Tracker(batch)
    history: list[list[int]] = []  # phrase ids
    seen: list[list[np.ndarray]] = []  # [turn][viewer]
    alive = np.ones(n, bool)
    for _ in range(turns):
        seen.append([batch.observe(viewer)[0] for viewer in range(config.players)])
        # Moves are chosen so that no game ends: a restarted game would have another deck.
        index = safe_moves(batch, rng)
        alive &= index >= 0
        index = np.maximum(index, 0)
        if not alive.all():
            seen.pop()
            break
        choices = batch.choices[np.arange(n), index].tolist()
        tracker.step(choices)
        history.append(choices)
        batch.step(index)
    seen.append([batch.observe(viewer)[0] for viewer in range(config.players)])
    true_labels = batch.labels.copy()
    state = {**batch.state(), "held": tracker.held()}
    changed = 0
    for viewer in range(config.players):
        decks = [hidden_deal(rng, state, i, viewer, config) for i in range(n)]
        replay = HanabiBatched(config, n, restart=False)
        replay.reset(start["seed"], [[divmod(int(c), MAX_RANKS) for c in deck] for deck in decks])
        assert np.array_equal(replay.seat, start["seat"])  # drawn from the seed, not the deck
        for turn, choices in enumerate(history):
            assert np.array_equal(replay.observe(viewer)[0], seen[turn][viewer]), turn
            index = [
                row[:count].tolist().index(choice)
                for row, count, choice in zip(
                    replay.choices, replay.choice_counts, choices, strict=True
                )
            ]
            replay.step(np.array(index))
        assert np.array_equal(replay.observe(viewer)[0], seen[-1][viewer])
        acting = replay.seat == viewer
        assert np.array_equal(replay.choices[acting], batch.choices[acting])
        hands_differ = (replay.labels != true_labels).any(1) & acting
        changed += int(hands_differ.sum())
    if config.deck_size > config.players * config.hand:
        assert changed > 0  # or nothing was tested


def safe_moves(batch: HanabiBatched, rng: np.random.Generator) -> np.ndarray:
    """A random legal move of each game that does not end it, -1 where there is none."""
    state, config = batch.state(), batch.config
    moves = np.full(batch.num_games, -1)
    for i in range(batch.num_games):
        if state["drawn"][i] == config.deck_size and state["turns_left"][i] == 1:
            continue
        options = []
        for index, choice in enumerate(batch.choices[i, : batch.choice_counts[i]].tolist()):
            move = decode_choice(choice)
            if move.kind is Kind.PLAY:
                card = int(state["cards"][i, batch.seat[i] * config.hand + move.slot])
                fits = state["fireworks"][i, card // MAX_RANKS] == card % MAX_RANKS
                last = state["score"][i] == config.max_score - 1 if fits else state["lives"][i] == 1
                if last:
                    continue
            options.append(index)
        if options:
            moves[i] = rng.choice(options)
    return moves


def test_what_a_seat_can_see_does_change_what_it_observes() -> None:
    """The control of the test above: a partner's card that changes is seen."""
    batch = HanabiBatched(configure(players=3), 8, seed=3)
    before = [batch.observe(viewer)[0] for viewer in range(3)]
    state = batch.state()
    state["cards"][:, 5] = (state["cards"][:, 5] + 1) % 25  # seat 1, slot 0
    batch.load_state(state)
    for viewer in range(3):
        changed = (batch.observe(viewer)[0] != before[viewer]).any(1)
        assert changed.all() if viewer != 1 else not changed.any()


@pytest.mark.parametrize("players", [2, 3, 4, 5])
def test_renamed_colours_are_a_renamed_game(players: int) -> None:
    """Playing with permuted colours gives the permuted facts and choices, as Other-Play needs."""
    config, rng = configure(players=players), np.random.default_rng(players)
    order = rng.permutation(MAX_COLOURS)
    words = {COLOURS[c]: COLOURS[order[c]] for c in range(MAX_COLOURS)}
    renaming = PHRASEBOOK.renaming(words)
    batch, other = (HanabiBatched(config, 16, seed=9, restart=False) for _ in range(2))
    deck = batch.state()["deck"][:, : config.deck_size]
    other.reset(decks=[[(order[c // MAX_RANKS], c % MAX_RANKS) for c in row] for row in deck])
    for _ in range(25):
        moves = safe_moves(batch, rng)
        if (moves < 0).any():
            break
        mapped = []
        for i in range(16):
            facts = renaming[batch.facts[i, : batch.fact_counts[i]]]
            assert sorted(facts) == sorted(other.facts[i, : other.fact_counts[i]])
            choices = renaming[batch.choices[i, : batch.choice_counts[i]]]
            theirs = other.choices[i, : other.choice_counts[i]].tolist()
            assert sorted(choices) == sorted(theirs)
            mapped.append(theirs.index(choices[moves[i]]))
        batch.step(moves)
        other.step(np.array(mapped))


# What its randomness depends on


@each_setting
def test_a_game_depends_on_its_seed_only(config: HanabiConfig) -> None:
    """The same seeds in another order, in a batch of another size, give the same games."""
    wide, narrow = HanabiBatched(config, 64, seed=100), HanabiBatched(config, 8, seed=0)
    picked = np.array([5, 63, 0, 17, 33, 2, 40, 21])
    narrow.reset((picked + 100).astype(np.uint64))
    rng = np.random.default_rng(4)
    done = np.zeros(64, bool)
    for _ in range(30):
        alive = ~done[picked]
        for mine, theirs in zip(rows(narrow), rows(wide), strict=True):
            assert np.array_equal(mine[alive], theirs[picked][alive])
        moves = random_moves(wide, rng)
        step = wide.step(moves)
        done |= step.terminated[:, 0]  # later episodes have other seeds
        legal = np.minimum(moves[picked], narrow.choice_counts - 1)
        part = narrow.step(np.where(alive, moves[picked], legal))
        assert np.array_equal(part.rewards[alive], step.rewards[picked][alive])


def test_the_episodes_of_a_game_have_the_seeds_they_are_said_to_have() -> None:
    """Episode k of game i is the first episode of a game with seed + i + k * N."""
    config, n, seed = configure("small"), 8, 7
    batch, rng = HanabiBatched(config, n, seed=seed), np.random.default_rng(0)
    episode = np.zeros(n, int)
    for _ in range(200):
        ended = batch.step(random_moves(batch, rng)).over
        episode += ended
        for i in np.flatnonzero(ended):
            fresh = HanabiBatched(config, 1, seed=int(seed + i + episode[i] * n))
            for mine, theirs in zip(rows(batch), rows(fresh), strict=True):
                assert np.array_equal(mine[i], theirs[0])
    assert episode.min() >= 3


def test_seeds_reach_the_last() -> None:
    batch = HanabiBatched(configure(), 4, seed=2**64 - 1)
    assert batch.state()["seed"].tolist() == [2**64 - 1, 0, 1, 2]


def test_shuffles_are_uniform() -> None:
    """Every card is equally likely at every place of the deck (chi-square, 5 sigma)."""
    n, config = 20_000, configure()
    deck = HanabiBatched(config, n, seed=1).state()["deck"]
    expected = n * np.array([config.copies(card % 5) for card in range(25)]) / 50
    for place in range(50):
        counts = np.bincount(deck[:, place], minlength=25)
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert chi_square < 24 + 5 * np.sqrt(48), place


def test_the_first_player_is_drawn_if_asked() -> None:
    n = 5_000
    for players in (2, 5):
        drawn = HanabiBatched(configure(players=players, random_first_player=True), n).seat
        counts = np.bincount(drawn, minlength=players)
        assert (abs(counts - n / players) < 5 * np.sqrt(n / players)).all()
        assert (HanabiBatched(configure(players=players), n).seat == 0).all()


@each_setting
def test_state_continues_bit_for_bit(config: HanabiConfig) -> None:
    batch, rng = HanabiBatched(config, 16, seed=11), np.random.default_rng(5)
    for _ in range(20):
        batch.step(random_moves(batch, rng))
    saved = batch.state()
    shown, moves, later = rows(batch), [], []
    for _ in range(40):
        moves.append(random_moves(batch, rng))
        batch.step(moves[-1])
        later.append(rows(batch))
    other = HanabiBatched(config, 16, seed=999)
    other.load_state(saved)
    assert same(rows(other), shown)
    for move, expected in zip(moves, later, strict=True):
        other.step(move)
        assert same(rows(other), expected)


def test_state_of_another_batch_is_refused() -> None:
    batch = HanabiBatched(configure(), 4)
    with pytest.raises(ValueError, match="must be"):
        batch.load_state(HanabiBatched(configure(), 5).state())
    state = batch.state()
    del state["deck"]
    with pytest.raises(ValueError, match="state must hold"):
        batch.load_state(state)


# The rules, and how games end


def play(batch: HanabiBatched, choice: str) -> Any:
    """One move of a single game, by its sentence."""
    return batch.step(np.array([batch.phrasebook.render(batch.choices.ravel()).index(choice)]))


def ordered_deck(config: HanabiConfig) -> list[tuple[int, int]]:
    return [
        (colour, rank)
        for rank in range(config.ranks)
        for colour in range(config.colours)
        for _ in range(config.copies(rank))
    ]


@pytest.mark.parametrize("bomb", ["zero", "keep"])
def test_a_lost_game_is_scored_by_its_rule(bomb: str) -> None:
    """Points earned are taken back by "zero" and stay with "keep"; both are reported."""
    config = configure(bomb=bomb, life_tokens=1)
    batch = HanabiBatched(config, 1, restart=False)
    batch.reset(decks=[ordered_deck(config)])  # all ones first: seat 0 holds R R R Y Y
    step = play(batch, "I play card 1")
    assert step.rewards[0, 0] == 1
    assert not step.terminated[0, 0]
    step = play(batch, "I play card 3")  # seat 1 holds Y G G G W
    assert step.rewards[0, 0] == 1
    step = play(batch, "I play card 1")  # red one again
    assert step.terminated[0, 0]
    assert step.outcome["lost"][0]
    assert step.rewards[0, 0] == (-2 if bomb == "zero" else 0)
    assert step.outcome["points"][0] == 2
    assert not len(batch.due_game)
    with pytest.raises(ValueError, match="must be 0 integers"):
        batch.step(np.array([0]))


def test_a_perfect_game_pays_every_point() -> None:
    config = configure("very-small")
    batch = HanabiBatched(config, 1, restart=False)
    ranks = [0, 1, 0, 1, 2, 3, 4, 0, 2, 3]  # seat 0 draws 3, 4, 5 in turn
    batch.reset(decks=[[(0, rank) for rank in ranks]])
    total = 0.0
    for turn in range(9):
        step = play(batch, hint_or_discard(batch) if turn % 2 else "I play card 1")
        total += float(step.rewards[0, 0])
    assert step.terminated[0, 0]
    assert not step.outcome["lost"][0]
    assert step.outcome["points"][0] == total == config.max_score


def hint_or_discard(batch: HanabiBatched) -> str:
    """The first hint that is legal, else the discard of the oldest card."""
    choices = batch.phrasebook.render(batch.choices.ravel())
    return next((c for c in choices if c.startswith("I tell")), "I discard card 1")


def test_turn_limit_truncates() -> None:
    batch = HanabiBatched(configure(turn_limit=7), 16, seed=1)
    rng, turns = np.random.default_rng(0), np.zeros(16, int)
    cut = 0
    for _ in range(60):
        hints = np.maximum(batch.choice_counts - 1, 0)  # the last choice: a hint while there is one
        step = batch.step(np.where(rng.random(16) < 0.9, hints, 0).astype(np.int64))
        turns += 1
        assert not (step.terminated & step.truncated).any()
        assert np.array_equal(step.truncated[:, 0], (turns == 7) & ~step.terminated[:, 0])
        turns[step.over] = 0
        cut += int(step.truncated[:, 0].sum())
        assert batch.max_turns == 4
    assert cut > 0


@pytest.mark.parametrize("players", [2, 3, 4, 5])
def test_the_longest_game_reaches_the_bound(players: int) -> None:
    """Hints whenever possible, else discards: the bound on a seat's turns is met, not exceeded."""
    config = configure(players=players)
    batch, turns = HanabiBatched(config, 8, restart=False), np.zeros(players, int)
    while len(batch.due_game) == 8:
        turns[batch.seat[0]] += 1
        hint = batch.choice_counts - 1
        discard = np.zeros_like(hint)
        batch.step(np.where(batch.state()["tokens"] > 0, hint, discard).astype(np.int64))
    assert turns.max() == batch.max_turns


# What it refuses


def test_moves_out_of_range_are_refused_and_nothing_moves() -> None:
    batch = HanabiBatched(configure(), 4, seed=1)
    shown = rows(batch)
    for bad in ([0, 0, 99, 0], [0, -1, 0, 0]):
        wrong = next(i for i, move in enumerate(bad) if move)
        with pytest.raises(ValueError, match=rf"move_index\[{wrong}\] is {bad[wrong]}"):
            batch.step(np.array(bad))
    for bad_type in (np.zeros(4), np.zeros(3, int), np.zeros((4, 1), int)):
        with pytest.raises(ValueError, match="must be 4 integers"):
            batch.step(bad_type)
    assert same(rows(batch), shown)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"players": 6}, "hanabi is played by 2, 3, 4, 5 players, got 6"),
        ({"players": 2.0}, "players must be a whole number"),
        ({"colours": 0}, "colours must be"),
        ({"ranks": 6}, "ranks must be"),
        ({"hand_size": 0}, "hand_size must be"),
        ({"hand_size": 26}, "hand_size must be"),
        ({"players": 5, "hand_size": 11}, "set hand_size to at most 10"),
        ({"information_tokens": 51}, "information_tokens must be"),
        ({"life_tokens": 0}, "life_tokens must be"),
        ({"turn_limit": 0}, "turn_limit must be"),
        ({"bomb": "none"}, 'bomb must be "zero" or "keep"'),
        (
            {"preset": "large"},
            "unknown Hanabi preset 'large'; there are full, plain, small, very-small",
        ),
        ({"colors": 5}, "unknown Hanabi option 'colors'; there are preset, players"),
        ({"num_games": 0}, "num_games must be at least 1"),
        ({"seed": -1}, "seed must be from 0"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        games.batched("hanabi", **options)
    assert "\n" not in str(error.value)


def test_unknown_games_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown game 'chess'; there are "):
        games.batched("chess")


def test_bad_decks_and_seeds_are_refused() -> None:
    config = configure("very-small")
    batch, deck = HanabiBatched(config, 1), ordered_deck(config)
    for bad in (deck[:-1], [*deck[:-1], (0, 0)], [*deck[:-1], (1, -1)], [(0, 5), *deck[1:]]):
        with pytest.raises(ValueError, match="deck"):
            batch.reset(decks=[bad])
    with pytest.raises(ValueError, match="one a game"):
        batch.reset(decks=[deck, deck])
    with pytest.raises(ValueError, match="shape"):
        batch.reset(np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="seat must be from 0 to 1, got 2"):
        batch.observe(2)
