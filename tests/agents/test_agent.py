"""The agent as a policy: what its choices depend on, and what they do not."""

from __future__ import annotations

import contextlib
import copy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import games
from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from games.settings import parse
from games.text import PAD, Phrasebook, Translation, joined
from marl.acting.table import observe

SMALL = R3D2Config(hidden=32, memory=32, text_hidden=32)
CLOSE = 1e-4
"""What float32 sums in another order may differ by."""


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 throughout: bfloat16 would hide a mistake among its own."""
    monkeypatch.setattr(R3D2Agent, "autocast", lambda self: contextlib.nullcontext())


def make_book(closed: bool = True) -> Phrasebook:
    things, places = ("lamp", "book", "key", "coin"), ("table", "shelf", "floor")
    facts = [f"the {thing} is on the {place}" for thing in things for place in places]
    return Phrasebook([*facts, *(f"I take the {thing}" for thing in things)], closed)


BOOK = make_book()
FACTS, CHOICES = range(12), range(12, 16)


def row(facts: list[int], choices: list[int], width: int = 6, options: int = 4) -> Observations:
    """One observation, padded."""
    return Observations(
        np.array([facts + [PAD] * (width - len(facts))], np.int16),
        np.array([len(facts)], np.int16),
        np.array([choices + [PAD] * (options - len(choices))], np.int16),
        np.array([len(choices)], np.int16),
    )


def stack(rows: list[Observations]) -> Observations:
    return Observations(
        *(np.concatenate([getattr(r, name) for r in rows]) for name in Observations.__annotations__)
    )


def random_rows(rng: np.random.Generator, count: int) -> Observations:
    return stack(
        [
            row(
                rng.choice(12, rng.integers(1, 7), replace=False).tolist(),
                (12 + rng.choice(4, rng.integers(1, 5), replace=False)).tolist(),
            )
            for _ in range(count)
        ]
    )


def memories(rng: np.random.Generator, agent: R3D2Agent, count: int) -> NDArray[np.float32]:
    return rng.normal(size=(count, agent.memory_size)).astype(np.float32)


def play(game: games.BatchedGame, moves: int) -> None:
    """Moves at random, to where observations differ."""
    rng = np.random.default_rng(5)
    for _ in range(moves):
        game.step((rng.random(game.num_games) * game.choice_counts).astype(np.int64))


SETTINGS = [
    {"players": 2},
    {"players": 3, "preset": "very-small"},
    {"players": 4, "preset": "small"},
    {"players": 5},
]


@pytest.mark.usefixtures("exact")
def test_one_set_of_weights_plays_every_setting(tmp_path: Path) -> None:
    """Saved from two players, loaded by agents that only know of a setting of their own."""
    first = games.batched("hanabi", 4, players=2)
    teacher = R3D2Agent(SMALL, first.phrasebook, seed=1)
    teacher.admit(first.fact_phrases, first.choice_phrases)
    save_file(teacher.state_dict(), tmp_path / "weights.safetensors")
    for options in SETTINGS:
        game = games.batched("hanabi", 4, seed=2, **options)
        play(game, 6)
        pupil = R3D2Agent(SMALL, game.phrasebook, seed=2)
        pupil.admit(game.fact_phrases, game.choice_phrases)
        pupil.load(7, load_file(tmp_path / "weights.safetensors"))
        assert pupil.version == 7
        memory = memories(np.random.default_rng(0), pupil, 4)
        choices, values, after = pupil.act(observe(game), memory)
        assert values.shape == game.choices.shape
        legal = np.arange(game.max_choices) < game.choice_counts[:, None]
        assert np.isfinite(values[legal]).all()
        assert (values[~legal] == -np.inf).all()
        assert (choices == values.argmax(1)).all()
        assert len(np.unique(values[0][legal[0]])) == game.choice_counts[0]
        # The weights are all there is: whoever has them plays the same, whatever it met before.
        _, expected, expected_after = teacher.act(observe(game), memory)
        np.testing.assert_allclose(values[legal], expected[legal], atol=CLOSE)
        np.testing.assert_allclose(after, expected_after, atol=CLOSE)


def test_bfloat16_plays_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = R3D2Agent(SMALL, BOOK, seed=1)
    if isinstance(agent.autocast(), contextlib.nullcontext):
        pytest.skip("this processor has no bfloat16 units")
    rng = np.random.default_rng(1)
    rows, memory = random_rows(rng, 32), memories(rng, agent, 32)
    _, fast, _ = agent.act(rows, memory)
    monkeypatch.setattr(R3D2Agent, "autocast", lambda self: contextlib.nullcontext())
    agent.forget()
    _, full, _ = agent.act(rows, memory)
    legal = np.isfinite(full)
    assert (np.isfinite(fast) == legal).all()
    error = np.abs(fast[legal] - full[legal])
    # Nothing that matters may drown in rounding.
    assert error.mean() < 0.03 * full[legal].std()
    assert error.max() > 0, "both ran in float32"


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("encoder", ["phrases", "paragraph"])
def test_phrases_that_were_never_seen_get_a_score(encoder: str) -> None:
    """Sentences that the phrasebook gains later, longer than all before and with new words."""
    book = make_book(closed=False)
    agent = R3D2Agent(R3D2Config(encoder=encoder, hidden=32, memory=32, text_hidden=32), book)  # type: ignore[arg-type]
    memory = np.zeros((1, agent.memory_size), np.float32)
    _, known, _ = agent.act(row([0, 5], [12, 13]), memory)
    choice = book.intern("I cautiously unscrew the chandelier from the ceiling of the great hall")
    fact = book.intern("a chandelier hangs from the ceiling")
    again = book.intern("I take the chandelier")
    _, values, _ = agent.act(row([0, 5], [12, choice, 13, again]), memory)
    assert np.isfinite(values).all()
    assert len(np.unique(values)) == 4
    # What was known is scored as before, but for the mean that all scores are centred on.
    gap = known[0, 1] - known[0, 0]
    assert values[0, 2] - values[0, 0] == pytest.approx(gap, abs=CLOSE)
    _, other, _ = agent.act(row([0, fact], [12, choice, 13, again]), memory)
    assert np.isfinite(other).all()
    assert not np.allclose(other, values, atol=CLOSE)


def test_a_phrasebook_may_start_empty() -> None:
    book = Phrasebook(closed=False)
    agent = R3D2Agent(SMALL, book)
    ids = [book.intern("nothing has happened"), book.intern("I wait"), book.intern("I go")]
    _, values, _ = agent.act(row(ids[:1], ids[1:]), np.zeros((1, agent.memory_size), np.float32))
    assert np.isfinite(values[0, :2]).all()
    assert values[0, 0] != values[0, 1]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("encoder", ["phrases", "paragraph", "vector"])
def test_rows_do_not_depend_on_their_batch(encoder: str) -> None:
    agent = R3D2Agent(
        R3D2Config(encoder=encoder, hidden=32, memory=32, text_hidden=32, layers=2), BOOK
    )  # type: ignore[arg-type]
    rng = np.random.default_rng(2)
    rows, memory = random_rows(rng, 12), memories(rng, agent, 12)
    together = agent.act(rows, memory)
    for i in range(12):
        alone = agent.act(rows[i : i + 1], memory[i : i + 1])
        assert alone[0][0] == together[0][i]
        np.testing.assert_allclose(alone[1][0], together[1][i], atol=CLOSE)
        np.testing.assert_allclose(alone[2][0], together[2][i], atol=CLOSE)
    order = rng.permutation(12)
    moved = agent.act(rows[order], memory[order])
    np.testing.assert_allclose(moved[1], together[1][order], atol=CLOSE)


@pytest.mark.usefixtures("exact")
def test_facts_are_a_set() -> None:
    """Their order does not matter, and what a row holds beyond its count is not there."""
    agent = R3D2Agent(SMALL, BOOK)
    memory = memories(np.random.default_rng(3), agent, 1)
    expected = agent.act(row([3, 8, 1, 10], [12, 15]), memory)
    for facts in ([10, 1, 8, 3], [8, 3, 10, 1]):
        moved = agent.act(row(facts, [12, 15]), memory)
        np.testing.assert_array_equal(moved[1], expected[1])
        np.testing.assert_array_equal(moved[2], expected[2])
    wide = agent.act(row([3, 8, 1, 10], [12, 15], width=40, options=9), memory)
    np.testing.assert_allclose(wide[1][:, :4], expected[1], atol=CLOSE)
    assert (wide[1][:, 2:] == -np.inf).all()
    left_over = row([3, 8, 1, 10], [12, 15])
    left_over.facts[0, 4:] = 6
    left_over.choices[0, 2:] = 13
    np.testing.assert_array_equal(agent.act(left_over, memory)[1], expected[1])
    fewer = agent.act(row([3, 8, 1], [12, 15]), memory)
    assert not np.allclose(fewer[1][0, :2], expected[1][0, :2], atol=CLOSE)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("encoder", ["phrases", "vector"])
def test_choices_carry_their_values_along(encoder: str) -> None:
    """Permuted choices have permuted values; which one is taken does not change."""
    agent = R3D2Agent(R3D2Config(encoder=encoder, hidden=32, memory=32, text_hidden=32), BOOK)  # type: ignore[arg-type]
    rng = np.random.default_rng(4)
    memory = memories(rng, agent, 1)
    choices = np.array([12, 13, 14, 15])
    taken, values, _ = agent.act(row([0, 4], choices.tolist()), memory)
    for _ in range(5):
        order = rng.permutation(4)
        moved_taken, moved, _ = agent.act(row([0, 4], choices[order].tolist()), memory)
        np.testing.assert_allclose(moved[0], values[0][order], atol=CLOSE)
        assert choices[order][moved_taken[0]] == choices[taken[0]]


@pytest.mark.usefixtures("exact")
def test_phrases_that_were_met_late_change_nothing() -> None:
    """The place of a phrase in the tables is no part of what it means."""
    rng = np.random.default_rng(5)
    rows = random_rows(rng, 20)
    told, surprised = R3D2Agent(SMALL, BOOK, seed=3), R3D2Agent(SMALL, BOOK, seed=3)
    told.admit(FACTS, CHOICES)
    memory = memories(rng, told, 20)
    expected = told.act(rows, memory)
    for i in range(20):
        values = surprised.act(rows[i : i + 1], memory[i : i + 1])[1]
        np.testing.assert_allclose(values[0], expected[1][i], atol=CLOSE)
    assert surprised.facts.ids.tolist() != told.facts.ids.tolist()
    assert surprised.meet(rows.facts, rows.choices) is False


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("encoder", ["phrases", "paragraph"])
def test_tables_that_grew_are_those_made_at_once(encoder: str) -> None:
    """Through several doublings, by a phrase or by many: the values, and every row in use."""
    book = Phrasebook(closed=False)
    config = replace(SMALL, encoder=encoder)  # type: ignore[arg-type]
    grown = R3D2Agent(config, book, seed=3)
    rng = np.random.default_rng(7)
    sizes = set()
    for count in (1, 1, 3, 90, 1, 200):
        said = [f"the cat is in house {len(book) + i}" for i in range(count)]
        facts = np.array([[book.intern(phrase) for phrase in said]], np.int16)
        choices = np.array([[book.intern(f"I call cat {len(book)}") for _ in range(2)]], np.int16)
        seen = Observations(facts, np.array([count], np.int16), choices, np.array([2], np.int16))
        memory = memories(rng, grown, 1)
        values = grown.act(seen, memory)[1]
        other = R3D2Agent(config, book, seed=3)
        other.admit(rng.permutation(grown.facts.ids), rng.permutation(grown.choices.ids))
        np.testing.assert_allclose(values, other.act(seen, memory)[1], atol=CLOSE)
        sizes.add((grown.rows.fact_rows, grown.rows.choice_rows))
        assert grown.embed().shape[0] == sum(grown.rows.sizes)
    assert len(sizes) < 6 if encoder == "phrases" else sizes == {(0, 64)}


def test_ids_of_no_phrase_are_refused() -> None:
    """And leave the agent as it was."""
    agent = R3D2Agent(SMALL, BOOK)
    memory = np.zeros((1, agent.memory_size), np.float32)
    values = agent.act(row([0], [12, 13]), memory)[1]
    for facts, choices in (([32000], [12, 13]), ([0], [12, len(BOOK)]), ([-2], [12])):
        with pytest.raises(ValueError, match="play with the phrasebook of the agent"):
            agent.act(row(facts, choices), memory)
    np.testing.assert_array_equal(agent.act(row([0], [12, 13]), memory)[1], values)


def test_an_open_book_is_read_by_the_word() -> None:
    """Words that were not there when the agent was made are words, and not letters."""
    book = Phrasebook(closed=False)
    agent = R3D2Agent(SMALL, book)
    ids = [book.intern(phrase) for phrase in ("hippopotamuses swim", "whales swim")]
    tokens, lengths = agent.reader.tokenizer.encode([book[i] for i in ids])  # type: ignore[union-attr]
    assert lengths.tolist() == [6, 6]
    assert tokens[0, 3:].tolist() == tokens[1, 3:].tolist()


def test_the_seed_decides_the_weights() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (R3D2Agent(SMALL, BOOK, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator was used"
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["network.query.weight"], other["network.query.weight"])
    assert not torch.equal(one["reader.bert.words"], other["reader.bert.words"])


def test_the_tables_follow_the_weights() -> None:
    agent, other = R3D2Agent(SMALL, BOOK, seed=1), R3D2Agent(SMALL, BOOK, seed=2)
    rows, memory = row([0, 1], [12, 13]), np.zeros((1, agent.memory_size), np.float32)
    before, wanted = agent.act(rows, memory)[1], other.act(rows, memory)[1]
    assert not np.array_equal(before, wanted)
    agent.load(3, {name: tensor.numpy() for name, tensor in other.state_dict().items()})
    np.testing.assert_array_equal(agent.act(rows, memory)[1], wanted)
    # The weights were copied: the other may go on learning.
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    other.forget()
    np.testing.assert_array_equal(agent.act(rows, memory)[1], wanted)
    assert not np.array_equal(other.act(rows, memory)[1], wanted)


def test_a_copy_shares_the_phrasebook_and_nothing_else() -> None:
    book = make_book(closed=False)
    agent = R3D2Agent(SMALL, book)
    rows, memory = row([0, 1], [12, 13]), np.zeros((1, agent.memory_size), np.float32)
    values = agent.act(rows, memory)[1]
    other = copy.deepcopy(agent)
    assert other.phrasebook is book
    new = book.intern("I sing")
    assert np.isfinite(other.act(row([0, 1], [12, new]), memory)[1][0, :2]).all()
    assert new not in agent.choices.ids
    with torch.no_grad():
        other.network.value.bias += 1
    np.testing.assert_array_equal(agent.act(rows, memory)[1], values)


def test_what_came_over_a_wire_is_read_only() -> None:
    agent = R3D2Agent(SMALL, BOOK)
    rows, memory = row([0, 1], [12, 13]), np.ones((1, agent.memory_size), np.float32)
    expected = agent.act(rows, memory)[1]
    for array in (rows.facts, rows.fact_counts, rows.choices, rows.choice_counts, memory):
        array.flags.writeable = False
    weights = {name: tensor.numpy().copy() for name, tensor in agent.state_dict().items()}
    for array in weights.values():
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent.load(1, weights)
        np.testing.assert_array_equal(agent.act(rows, memory)[1], expected)


@pytest.mark.parametrize(
    ("saved", "mine"),
    [(SMALL, R3D2Config(hidden=64, memory=32, text_hidden=32)), (SMALL, None)],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(
    saved: R3D2Config, mine: R3D2Config | None
) -> None:
    weights = R3D2Agent(saved, BOOK).state_dict()
    agent = R3D2Agent(mine or saved, BOOK)
    if mine is None:
        del weights["network.value.bias"]
    with pytest.raises(ValueError, match="do not fit") as caught:
        agent.load(1, weights)
    assert "\n" not in str(caught.value)
    assert "network" in str(caught.value)
    assert agent.version == 0


@pytest.mark.parametrize(("numerals", "close"), [("apart", False), ("ordered", True)])
def test_numbers_that_are_close_begin_alike(
    numerals: Literal["apart", "ordered"], close: bool
) -> None:
    """Of places along a line, those that are next to each other; and yet each is itself."""
    distances, ways = range(20, 100, 5), ("west", "east")
    sentences = [f"the lamp lies {n} cm {way} of me" for way in ways for n in distances]
    agent = R3D2Agent(R3D2Config(numerals=numerals), Phrasebook([*sentences, "I go"]))
    agent.admit(range(len(sentences)), [len(sentences)])
    agent.spread_out()
    table = agent.current().facts[: len(sentences)].float().unflatten(0, (2, len(distances)))
    table = F.normalize(table - table.mean((0, 1)), dim=2)
    neighbours = (table[:, 1:] * table[:, :-1]).sum(2)
    across = (table[0] * table[1]).sum(1)
    assert (float(neighbours.mean()) > float(across.mean()) + 0.3) == close
    assert float(neighbours.max()) < 0.99


def test_ordered_numbers_need_a_book_that_is_closed() -> None:
    with pytest.raises(ValueError, match="numerals=ordered needs"):
        R3D2Agent(R3D2Config(numerals="ordered"), make_book(closed=False))


def test_a_number_that_it_never_met_is_read_by_its_value() -> None:
    """What the language model makes of 0.35 is nearest to what it makes of 0.3 and of 0.4."""
    costs = [0.1, 0.2, 0.3, 0.4, 0.6, 1, 2, 3, 5, 8, 12]
    said = [f"a part costs {n}" for n in costs]
    book = Phrasebook([*said, "I go"])
    config = R3D2Config(numerals="value", hidden=32, memory=32, text_hidden=64, own_hand=False)
    agent = R3D2Agent(config, book)
    assert agent.reads("a part costs 0.35")
    assert not agent.reads("a line costs 0.35")
    book.readable = agent.reads
    agent.admit([*range(len(said)), book.intern("a part costs 0.35")], [len(said)])
    *met, new = agent.embed()[: len(said) + 1]
    apart = torch.stack(met).sub(new).norm(dim=1)
    assert {costs[k] for k in apart.argsort()[:2].tolist()} == {0.3, 0.4}
    assert apart.min() > 0
    with pytest.raises(ValueError, match="closed and has no phrase 'a line costs 2'"):
        book.intern("a line costs 2")


def test_numbers_by_value_are_learned_together() -> None:
    config = R3D2Config(numerals="value", hidden=32, memory=32, text_hidden=32, own_hand=False)
    book = Phrasebook(["there are 2 left", "there are 3 left", "I go"], closed=False)
    agent = R3D2Agent(config, book)
    agent.admit([0], [2])
    agent.embed().square().sum().backward()
    bert = agent.reader.bert  # type: ignore[union-attr]
    assert bert.numbers is not None
    assert bert.numbers.map.grad.abs().sum() > 0
    agent.admit([book.intern("there are 4.5 left"), 1])  # an open book: numbers turn up in play
    other = R3D2Agent(config, book, seed=1)
    other.load(1, agent.state_dict())
    other.admit([3], [2])
    mine, theirs = (a.current().facts[a.facts.rows(4)[3]] for a in (agent, other))
    torch.testing.assert_close(mine, theirs)
    values = [a.reader.tokenizer.values for a in (agent, other)]  # type: ignore[union-attr]
    assert values == [[2.0, 3.0, 4.5]] * 2


def test_a_free_embedding_cannot_meet_a_new_phrase() -> None:
    book = make_book(closed=False)
    agent = R3D2Agent(R3D2Config(encoder="vector", hidden=32, memory=32, text_hidden=32), book)
    memory = np.zeros((1, agent.memory_size), np.float32)
    assert np.isfinite(agent.act(row([0], [12, 13]), memory)[1][0, :2]).all()
    new = book.intern("I sing")
    with pytest.raises(ValueError, match="encoder=phrases"):
        agent.act(row([0], [12, new]), memory)


@pytest.mark.usefixtures("exact")
def test_a_paragraph_holds_the_facts_in_the_order_they_are_told() -> None:
    agent = R3D2Agent(R3D2Config(encoder="paragraph", hidden=32, memory=32, text_hidden=32), BOOK)
    tokens = agent.inputs(np.array([3, 8, 1], np.int16), np.array([0, 2]), np.array([2, 1]))  # type: ignore[arg-type]
    tokenizer = agent.reader.tokenizer  # type: ignore[union-attr]
    said = [[tokenizer.vocabulary[i] for i in tokens_row if i] for tokens_row in tokens.tolist()]
    assert said[0] == ["[CLS]", *BOOK[3].split(), *BOOK[8].split(), "[SEP]"]
    assert said[1] == ["[CLS]", *BOOK[1].split(), "[SEP]"]


def test_paragraphs_of_five_players_can_be_read() -> None:
    game = games.batched("hanabi", 2, players=5)
    play(game, 60)
    agent = R3D2Agent(
        R3D2Config(encoder="paragraph", hidden=32, memory=32, text_hidden=32), game.phrasebook
    )
    memory = np.zeros((2, agent.memory_size), np.float32)
    _, values, _ = agent.act(observe(game), memory)
    assert np.isfinite(values[np.arange(game.max_choices) < game.choice_counts[:, None]]).all()
    assert len(agent.facts.ids) < 200, "facts need no table in whole paragraphs"


def test_labels_of_all_settings_have_a_row() -> None:
    """Four players hold four cards each and two hold five: the larger answer sheet serves both."""
    book = games.batched("hanabi", 1, players=2).phrasebook
    for order in ((2, 5), (5, 2)):
        agent = R3D2Agent(R3D2Config(hidden=32, memory=32, text_hidden=32, own_hand=True), book)
        for players in order:
            game = games.batched("hanabi", 1, players=players)
            agent.admit(game.fact_phrases, game.choice_phrases, game.label_phrases)
        assert [sheet.shape for sheet in agent.answers.sheets] == [(5, 3)]
        tables = agent.tables(agent.embed())
        assert tables.labels.shape == (15, 32)
        assert book[int(agent.answers.ids[12])] == "I know card 5 fits now"


def test_one_head_answers_for_several_games() -> None:
    """Their sheets lie side by side; a game's chances do not depend on which others are known."""
    names = ("hanabi:4", "simple-reference", "tracking", "hanabi:2", "hanabi:2@answers=cards")
    playing = [parse(name)[0].batched(3) for name in names]
    book = joined([game.phrasebook for game in playing])
    sheets = [Translation(game.phrasebook, book)(game.label_phrases) for game in playing]
    config = R3D2Config(hidden=32, memory=32, text_hidden=32)
    agent, alone = R3D2Agent(config, book, 1), R3D2Agent(config, book, 1)
    for sheet in sheets:
        agent.admit(labels=sheet)
    assert [sheet.shape for sheet in agent.answers.sheets] == [(5, 3), (1, 3), (5, 25)]
    assert agent.answers.slots == 11
    assert [agent.answers.place(sheet) for sheet in sheets] == [0, 5, 0, 0, 6]
    assert agent.answers.ids.tolist() == np.concatenate(
        [sheets[3].ravel(), sheets[1].ravel(), sheets[4].ravel()]
    ).tolist()  # fmt: skip
    words = Translation(playing[1].phrasebook, book)
    seen = observe(playing[1])
    seen = replace(seen, facts=words(seen.facts), choices=words(seen.choices))
    memory = np.zeros((len(seen.facts), agent.memory_size), np.float32)
    alone.admit(labels=sheets[1])
    found, expected = agent.believe(seen, memory), alone.believe(seen, memory)
    assert [chances.shape[1:] for chances in found] == [(5, 3), (1, 3), (5, 25)]
    np.testing.assert_allclose(found[1], expected[0], rtol=1e-3)
    for chances in found:
        np.testing.assert_allclose(chances.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "agent.hidden must be at least 1, got 0"),
        ({"text_hidden": 40}, "multiple of 32"),
        ({"encoder": "vector", "tuning": "frozen"}, "reads no text"),
        ({"tuning": "lora"}, "needs pretrained weights"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        R3D2Config(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("core", ["gated", "lstm"])
def test_turns_that_are_read_at_once_are_remembered_as_one_by_one(core: str, exact: None) -> None:
    agent = R3D2Agent(replace(SMALL, core=core), make_book(), 3)
    agent.admit(FACTS, CHOICES)
    rng = np.random.default_rng(0)
    facts = rng.integers(0, 12, (3, 4, 5)).astype(np.int16)
    counts = np.array([[5, 2, 3, 1], [1, 4, -1, -1], [-1, -1, -1, -1]], np.int16)
    before = rng.standard_normal((3, agent.memory_size)).astype(np.float32)
    after = before.copy()
    for turn in range(4):
        here = counts[:, turn] >= 0
        if here.any():
            n = int(here.sum())
            seen = Observations(
                facts[here, turn],
                counts[here, turn],
                np.full((n, 1), 12, np.int16),
                np.ones(n, np.int16),
            )
            after[here] = agent.act(seen, after[here])[2]
    at_once = agent.remember(facts, counts, before)
    np.testing.assert_allclose(at_once, after, atol=CLOSE)
    np.testing.assert_array_equal(at_once[2], before[2])
    assert np.abs(at_once[0] - before[0]).max() > 0.01
