"""Other-Play, seen from outside: sentences before and after, word by word."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import games
from games.core import Step
from games.other_play import OtherPlay

GAMES = 40


def make(seed: int = 3, **options: object) -> OtherPlay:
    options = {"players": 3, "colours": 3, "ranks": 3, "answers": "cards", **options}
    return OtherPlay(games.batched("hanabi", GAMES, 11, **options), seed)


def draw(rng: np.random.Generator, game: games.BatchedGame) -> NDArray[np.int64]:
    return (rng.random(game.num_games) * game.choice_counts).astype(np.int64)


def translate(inner: list[str], outer: list[str]) -> dict[str, str]:
    """Which word became which, from sentences that must agree in everything else."""
    words: dict[str, str] = {}
    assert len(inner) == len(outer)
    for before, after in zip(inner, outer, strict=True):
        assert before.count(" ") == after.count(" ")
        for a, b in zip(before.split(), after.split(), strict=True):
            assert words.setdefault(a, b) == b, f"{a} is {words[a]} here and {b} there"
    assert len(set(words.values())) == len(words), "two words became one"
    return words


def colours(renamed: OtherPlay, i: int) -> dict[str, str]:
    """What game i calls the colours for the seat to act; checks that nothing else is renamed."""
    book, game = renamed.phrasebook, renamed.game
    facts, choices = game.fact_counts[i], game.choice_counts[i]
    assert (renamed.facts[i, facts:] == games.PAD).all()
    assert (renamed.choices[i, choices:] == games.PAD).all()
    words = translate(
        [book[j] for j in [*game.facts[i, :facts], *game.choices[i, :choices]]],
        [book[j] for j in [*renamed.facts[i, :facts], *renamed.choices[i, :choices]]],
    )
    names = {a: b for a, b in words.items() if a in game.interchangeable}
    assert all(a == b for a, b in words.items() if a not in names)
    assert names.keys() == set(game.interchangeable)  # the fireworks name them all
    assert set(names.values()) == set(game.interchangeable)
    return names


def card(game: games.BatchedGame, slot: int, label: int) -> list[str]:
    return game.phrasebook[int(game.label_phrases[slot, label])].split()


def test_each_seat_has_one_renaming_an_episode() -> None:
    """Facts, choices and labels under the same words, through whole episodes."""
    renamed, rng = make(), np.random.default_rng(0)
    episode = np.zeros(GAMES, int)
    seen: list[dict[tuple[int, int], dict[str, str]]] = [{} for _ in range(GAMES)]
    orders: list[tuple[str, ...]] = []
    for _ in range(60):
        for i in range(GAMES):
            names = colours(renamed, i)
            key = int(episode[i]), int(renamed.due_seat[i])
            if key not in seen[i]:
                seen[i][key] = names
                orders.append(tuple(names.values()))
            assert seen[i][key] == names, "the words changed within an episode"
            for slot, (inner, outer) in enumerate(
                zip(renamed.game.labels[i].tolist(), renamed.labels[i].tolist(), strict=True)
            ):
                if inner < 0:
                    assert outer == inner
                else:
                    before, after = card(renamed, slot, inner), card(renamed, slot, outer)
                    assert [names.get(word, word) for word in before] == after
        step = renamed.step(draw(rng, renamed))
        episode += step.over
    assert episode.min() > 0
    # All 6 orders of 3 colours, about equally often, drawn apart for seats and episodes.
    counts = {order: orders.count(order) for order in set(orders)}
    assert len(counts) == 6
    expected = len(orders) / 6
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 20.5  # p = 0.001
    for first, second in (((0, 0), (0, 1)), ((0, 0), (1, 0))):
        pairs = [(s[first], s[second]) for s in seen if first in s and second in s]
        assert len(pairs) > 20
        assert 0 < sum(a == b for a, b in pairs) < len(pairs) / 2


def test_a_move_means_the_same_inside_and_outside() -> None:
    """The renamed game runs exactly as the bare one does under the same moves."""
    renamed, bare = make(), games.batched("hanabi", GAMES, 11, players=3, colours=3, ranks=3)
    rng = np.random.default_rng(1)
    for _ in range(50):
        moves = draw(rng, bare)
        ours, theirs = renamed.step(moves), bare.step(moves)
        assert ours.outcome.keys() == theirs.outcome.keys()
        for name, values in ours.outcome.items():
            np.testing.assert_array_equal(values, theirs.outcome[name])
        for name in Step.__annotations__.keys() - {"outcome"}:
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        for name in ("due_game", "due_seat", "fact_counts", "choice_counts"):
            np.testing.assert_array_equal(getattr(renamed, name), getattr(bare, name))


def test_what_can_be_said_stays_the_same() -> None:
    """The setting's own phrases, which tables are made of, hold every renamed one."""
    renamed, rng = make(), np.random.default_rng(2)
    facts, choices = set(renamed.fact_phrases.tolist()), set(renamed.choice_phrases.tolist())
    for _ in range(30):
        assert set(renamed.facts.ravel().tolist()) <= facts | {games.PAD}
        assert set(renamed.choices.ravel().tolist()) <= choices | {games.PAD}
        renamed.step(draw(rng, renamed))


def test_reset_draws_new_words() -> None:
    renamed = make()
    before = renamed.facts.copy()
    renamed.reset()
    inner = games.batched("hanabi", GAMES, 11, players=3, colours=3, ranks=3)
    np.testing.assert_array_equal(renamed.game.facts, inner.facts)
    assert (renamed.facts != before).any()
    names = [colours(renamed, i) for i in range(GAMES)]
    assert any(list(n) != list(n.values()) for n in names)


def snapshot(game: OtherPlay) -> list[NDArray[np.generic]]:
    return [game.facts.copy(), game.choices.copy(), game.labels.copy(), game.due_seat.copy()]


def test_a_saved_state_continues_bit_for_bit() -> None:
    renamed, rng = make(), np.random.default_rng(4)
    for _ in range(25):
        renamed.step(draw(rng, renamed))
    saved = renamed.state()
    other = make(seed=99)
    other.step(draw(rng, other))
    other.load_state(saved)
    restarts = 0
    for _ in range(40):
        for a, b in zip(snapshot(renamed), snapshot(other), strict=True):
            np.testing.assert_array_equal(a, b)
        moves = draw(rng, renamed)
        step = renamed.step(moves)
        other.step(moves)
        restarts += int(step.over.sum())
    assert restarts > GAMES / 2, "no new words were drawn"
    # What was saved is a copy.
    again = make(seed=5)
    again.load_state(saved)
    assert (again.facts != renamed.facts).any()


def test_the_seed_decides_the_words() -> None:
    one, same, other = make(1), make(1), make(2)
    np.testing.assert_array_equal(one.facts, same.facts)
    assert (one.facts != other.facts).any()


def test_a_game_without_two_words_to_exchange_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least two words.*\['red'\]"):
        OtherPlay(games.batched("hanabi", 2, preset="very-small"))
