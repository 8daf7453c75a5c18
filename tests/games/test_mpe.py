"""The particle games as batched games of text: episodes, what is said, and what is never said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import games
from games.core import Step
from games.mpe import MpeBatched, MpeConfig, configure, reference
from games.mpe.phrases import BLOCKS, PLACES, SPEEDS
from games.mpe.rules import MAX_PLAYERS, MOVES, REFERENCE, SPEAKER_LISTENER, SPREAD
from games.mpe.view import UNSAID, read

SETTINGS = [
    "simple-reference",
    "simple-reference@chained=true",
    "simple-speaker-listener",
    "simple-spread",
    "simple-spread:5@num-agent-neighbors=2@num-landmark-neighbors=3",
]
State = dict[str, NDArray[Any]]


def make(name: str, num_games: int = 20, seed: int = 0, restart: bool = True) -> MpeBatched:
    batch = games.batched(name, num_games, seed, restart)
    assert isinstance(batch, MpeBatched)
    return batch


def draw(batch: MpeBatched, rng: np.random.Generator) -> NDArray[np.int64]:
    return (rng.random(len(batch.due_game)) * batch.choice_counts).astype(np.int64)


def play(batch: MpeBatched, steps: int, seed: int = 0) -> Step:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        step = batch.step(draw(batch, rng))
    return step


def seen(batch: MpeBatched, **changed: NDArray[Any]) -> list[NDArray[np.int16]]:
    """What every seat would know with some of the state changed."""
    other = MpeBatched(batch.config, batch.num_games)
    other.load_state({**batch.state(), **changed})
    return [other.observe(seat)[0] for seat in range(batch.num_players)]


def same(left: NDArray[Any], right: NDArray[Any]) -> bool:
    return bool((left == right).all())


@pytest.mark.parametrize("name", SETTINGS)
def test_everything_said_is_in_the_book(name: str) -> None:
    batch = make(name)
    rng = np.random.default_rng(1)
    for _ in range(40):
        for ids, counts, known in (
            (batch.facts, batch.fact_counts, batch.fact_phrases),
            (batch.choices, batch.choice_counts, batch.choice_phrases),
        ):
            used = np.arange(ids.shape[1]) < counts[:, None]
            assert np.isin(ids[used], known).all()
            assert (ids[~used] == games.PAD).all()
        for row in range(4):
            text = batch.phrasebook.render(batch.facts[row])
            assert same(batch.phrasebook.parse(text), batch.facts[row, : len(text)])
            assert len(set(text)) == len(text)
        for seat in range(batch.num_players):
            facts, counts = batch.observe(seat)
            assert same(facts, batch.facts[batch.due_seat == seat])
            assert same(counts, batch.fact_counts[batch.due_seat == seat])
        batch.step(draw(batch, rng))
    assert not np.intersect1d(batch.fact_phrases, batch.choice_phrases).size
    assert batch.fact_counts.max() <= batch.max_facts
    assert batch.choice_counts.max() == batch.max_choices


@pytest.mark.parametrize("name", SETTINGS)
def test_an_episode_depends_on_its_seed_alone(name: str) -> None:
    batch = make(name, 4, seed=10)
    alone = [make(name, 1, seed=10 + i) for i in range(4)]
    turns = batch.max_turns
    rng = np.random.default_rng(0)
    for turn in range(turns):
        assert same(batch.facts, np.concatenate([one.facts for one in alone]))
        moves = draw(batch, rng)
        step = batch.step(moves)
        for i, one in enumerate(alone):
            its = one.step(moves[i * batch.num_players : (i + 1) * batch.num_players])
            assert same(step.rewards[i], its.rewards[0])
        assert step.over.all() == (turn == turns - 1)
    assert same(batch.facts, make(name, 4, seed=14).facts)
    batch.reset(np.arange(30, 34, dtype=np.uint64))
    assert same(batch.facts, make(name, 4, seed=30).facts)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_saved_batch_goes_on_bit_for_bit(name: str) -> None:
    batch = make(name, seed=3)
    play(batch, 33)
    copy = make(name, seed=99)
    copy.load_state(batch.state())
    for turn in range(40):
        for array in ("facts", "choices", "fact_counts", "choice_counts", "labels", "due_game"):
            assert same(getattr(batch, array), getattr(copy, array))
        left, right = play(batch, 1, turn), play(copy, 1, turn)
        assert same(left.rewards, right.rewards)
        assert same(left.outcome["return"], right.outcome["return"])
    for key, array in batch.state().items():
        assert same(array, copy.state()[key])


@pytest.mark.parametrize("name", SETTINGS)
def test_rewards_add_up_to_the_return(name: str) -> None:
    batch = make(name)
    earned = np.zeros((20, batch.num_players))
    rng = np.random.default_rng(0)
    time = np.zeros(20)
    for _ in range(batch.max_turns):
        step = batch.step(draw(batch, rng))
        earned += step.rewards
        time += step.elapsed
        np.testing.assert_allclose(step.outcome["return"], earned.mean(1), rtol=1e-5)
    assert step.over.all()
    assert step.truncated.all()
    assert not step.terminated.any()
    assert (time == batch.config.max_cycles).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_that_does_not_restart_shows_its_end(name: str) -> None:
    batch, ever = make(name, restart=False), make(name)
    state = batch.state()
    state["cycle"][:5] = batch.config.max_cycles - 1
    batch.load_state(state)
    step = play(batch, 1 + batch.config.chained)
    assert same(np.flatnonzero(step.over), np.arange(5))
    assert same(np.unique(batch.due_game), np.arange(5, 20))
    before, ending = batch.observe(0)[0], step.outcome["return"][:5]
    step = play(batch, 1)
    assert not step.rewards[:5].any()
    assert not step.elapsed[:5].any()
    assert not step.over[:5].any()
    assert same(step.outcome["return"][:5], ending)
    assert same(batch.observe(0)[0][:5], before[:5])
    copy = make(name, restart=False)
    copy.load_state(batch.state())
    assert same(copy.due_game, batch.due_game)
    while len(batch.due_game):
        play(batch, 1)
    assert play(batch, 1).rewards.shape == (20, batch.num_players)
    batch.reset()
    assert same(batch.facts, ever.facts)


def test_how_long_it_takes_and_what_was_earned_are_not_said() -> None:
    for name in SETTINGS:
        batch = make(name)
        play(batch, 6)
        changed = seen(batch, cycle=np.full(20, 20, np.int32), earned=np.ones((20, MAX_PLAYERS)))
        for seat, facts in enumerate(changed):
            assert same(facts, batch.observe(seat)[0])


def test_the_listener_never_reads_its_goal() -> None:
    batch = make("simple-speaker-listener", 200)
    play(batch, 5)
    goal = batch.state()["goal"]
    other = goal.copy()
    other[:, 0] = (goal[:, 0] + 1) % 3
    speaker, listener = seen(batch, goal=other)
    assert same(listener, batch.observe(1)[0])
    assert (speaker != batch.observe(0)[0]).any(1).all()
    assert same(read(speaker).goal, other[:, 0])
    assert same(batch.labels[batch.due_seat == 1, 0], goal[:, 0])
    assert (batch.labels[batch.due_seat == 0] == -1).all()


def test_the_speaker_sees_nothing_but_the_goal() -> None:
    batch = make("simple-speaker-listener")
    play(batch, 5)
    there = {key: array + 0.5 for key, array in batch.state().items() if array.dtype == float}
    said = np.full((20, 2), -1, np.int8)
    assert same(seen(batch, said=said, **there)[0], batch.observe(0)[0])
    assert (batch.fact_counts[batch.due_seat == 0] == 2).all()


def test_in_reference_each_sees_the_goal_of_the_other_alone() -> None:
    batch = make("simple-reference@chained=true", 200)
    play(batch, 7)  # between the two halves of a chain
    state = batch.state()
    assert (state["saying"] >= 0).all()
    for seat in range(2):
        hidden: State = {key: state[key].copy() for key in ("goal", "position", "saying", "said")}
        hidden["velocity"] = state["velocity"].copy()
        hidden["goal"][:, 1 - seat] = (hidden["goal"][:, 1 - seat] + 1) % 3
        for key in ("position", "velocity"):
            hidden[key][:, 1 - seat] += 1
        hidden["saying"][:, 1 - seat] = 0
        hidden["said"][:, seat] = 9
        assert same(seen(batch, **hidden)[seat], batch.observe(seat)[0])
        views = read(batch.observe(seat)[0])
        assert same(views.goal, state["goal"][:, seat])
        assert same(views.heard, state["said"][:, 1 - seat] + 1)
        assert same(views.saying, state["saying"][:, seat])
        labels = batch.labels[batch.due_seat == seat]
        assert same(labels[:, 0], state["goal"][:, 1 - seat])
    sentence = batch.phrasebook[int(batch.label_phrases[0, 1])]
    assert sentence == "I have to reach the green landmark"


def test_in_spread_how_partners_move_is_not_seen() -> None:
    batch = make("simple-spread")
    play(batch, 5)
    for seat in range(3):
        velocity = batch.state()["velocity"]
        velocity[:, [s for s in range(3) if s != seat]] += 1
        assert same(seen(batch, velocity=velocity)[seat], batch.observe(seat)[0])


def test_who_is_out_of_sight_is_not_seen_and_the_near_have_no_names() -> None:
    batch = make("simple-spread:5@num-agent-neighbors=2@num-landmark-neighbors=3", 100)
    play(batch, 5)
    state = batch.state()
    here = state["position"][:, :1]
    rows = np.arange(100)[:, None]
    for key, places, kept, first in (
        ("position", state["position"][:, 1:5], 2, 1),
        ("landmark", state["landmark"][:, :5], 3, 0),
    ):
        order = np.argsort(np.linalg.norm(places - here, axis=2), axis=1)
        moved = state[key].copy()
        moved[rows, first + order[:, kept:]] += 50
        assert same(seen(batch, **{key: moved})[0], batch.observe(0)[0])
        moved[rows, first + order[:, :kept]] = places[rows, order[:, :kept][:, ::-1]]
        assert same(seen(batch, **{key: moved})[0], batch.observe(0)[0])
        moved[rows, first + order[:, :1]] += 0.3
        assert (seen(batch, **{key: moved})[0] != batch.observe(0)[0]).any(1).all()


@pytest.mark.parametrize("name", SETTINGS[:4])
def test_colours_of_landmarks_are_only_names(name: str) -> None:
    batch = make(name)
    assert batch.interchangeable == ("red", "green", "blue")
    play(batch, 4)
    swap = batch.phrasebook.renaming({"red": "blue", "blue": "red"})
    state = batch.state()
    goal = np.where(state["goal"] >= 0, 2 - state["goal"], -1).astype(np.int8)
    landmark = state["landmark"].copy()
    landmark[:, :3] = landmark[:, 2::-1]
    for seat, facts in enumerate(seen(batch, goal=goal, landmark=landmark)):
        renamed = np.where(facts >= 0, swap[facts], facts)
        assert same(np.sort(renamed), np.sort(batch.observe(seat)[0]))


def test_a_chain_of_choices_is_one_of_the_products() -> None:
    product, chain = make("simple-reference"), make("simple-reference@chained=true")
    assert chain.max_turns == 2 * product.max_turns
    rng = np.random.default_rng(0)
    for _ in range(30):
        moves = draw(product, rng)
        words, ways = np.divmod(moves, MOVES)
        text = [product.phrasebook[int(i)] for i in product.choices[np.arange(40), moves]]
        said = [chain.phrasebook[int(i)] for i in chain.choices[np.arange(40), words]]
        first = chain.step(words)
        assert not first.rewards.any()
        assert not first.elapsed.any()
        assert not first.over.any()
        pushed = [chain.phrasebook[int(i)] for i in chain.choices[np.arange(40), ways]]
        pairs = zip(said, pushed, strict=True)
        assert text == [f"{a} and {b.removeprefix('I ')}" for a, b in pairs]
        second, step = chain.step(ways), product.step(moves)
        assert same(second.rewards, step.rewards)
        assert same(second.elapsed, step.elapsed)
        assert same(chain.facts[:, : product.max_facts], product.facts)


def test_amounts_of_every_size_are_said_within_their_bins() -> None:
    batch = make("simple-spread", 4000, restart=False)
    rng = np.random.default_rng(0)
    state = batch.state()
    amounts = rng.choice([0.001, 0.05, 0.3, 1, 3, 10], (4000, MAX_PLAYERS, 2))
    amounts *= rng.uniform(-1, 1, amounts.shape)
    velocity = rng.permutation(amounts)
    batch.load_state({**state, "landmark": amounts, "position": 0 * amounts, "velocity": velocity})
    facts = batch.observe(0)[0]
    views = read(facts)
    for part, truth in (("landmarks", amounts[:, :3]), ("velocity", velocity[:, 0])):
        said, least, most = (getattr(v, part) for v in (views.said, views.least, views.most))
        said, least, most = (array[:, :3] for array in (said, least, most))
        assert (least - 1e-9 <= truth).all()
        assert (truth <= most + 1e-9).all()
        assert (np.sign(said) * truth >= 0).all()
        widest = 0.5 if part == "landmarks" else 0.1
        near = np.abs(truth) < 2
        assert (np.abs(said - truth)[near] <= 0.13 * widest / 0.5 + 0.04).all()
    # The rough words say the same.
    for name, truth, scale in (("LANDMARK", amounts[:, 0, 0], PLACES),):
        block = BLOCKS[f"{name}_ROUGH"]
        rough = np.searchsorted(np.array(scale.rough) / 100, np.abs(truth), "right")
        index = len(scale.rough) + np.where(truth < 0, -rough, rough)
        assert (facts == (block.base + index)[:, None]).any(1).all()
    assert SPEEDS.bins().shape == (SPEEDS.fine_size, 2)


def test_what_is_not_a_number_is_beyond() -> None:
    batch = make("simple-spread", 1)
    state = batch.state()
    state["landmark"][:] = np.nan
    state["velocity"][:] = np.inf
    batch.load_state(state)
    text = batch.phrasebook.render(batch.facts[0])
    assert "I move north at more than 200 cm a second" in text
    assert sum("more than 400 cm" in sentence for sentence in text) == 6


def test_covering_every_landmark_ends_the_episode() -> None:
    batch = make("simple-spread:2@terminate-on-success=true@max-cycles=3", 3)
    state = batch.state()
    state["position"][:, :2] = [[-1, 0], [1, 0]]
    state["landmark"][:, :2] = [[1, 0.05], [-1.05, 0]]
    state["landmark"][1, 0] = 0.9, 0.1  # uncovered
    state["cycle"][2] = 2
    batch.load_state(state)
    step = batch.step(np.zeros(6, int))
    assert step.terminated[:, 0].tolist() == [True, False, False]
    assert step.truncated[:, 1].tolist() == [False, False, True]
    assert step.over.tolist() == [True, False, True]
    assert (step.rewards[0] == np.float32(-0.05)).all()
    assert batch.state()["seed"].tolist() == [3, 1, 5]


def test_roles_and_choices() -> None:
    batch = make("simple-speaker-listener", 1)
    assert batch.roles == ("speaker", "listener")
    assert batch.phrasebook.render(batch.choices[0]) == [
        f"I say word {n}" for n in ("one", "two", "three")
    ]
    ways = ("nowhere", "west", "east", "south", "north")
    assert batch.phrasebook.render(batch.choices[1]) == [f"I push {way}" for way in ways]
    for way, (x, y) in enumerate([(0, 0), (-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)]):
        batch.reset()
        batch.step(np.array([2, way]))
        assert batch.state()["velocity"][0, 1].tolist() == [x, y]
        assert "partner A said word three" in batch.phrasebook.render(batch.observe(1)[0][0])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("simple-spread:7", "simple-spread is played by 2, 3, 4, 5, 6 players, got 7"),
        ("simple-spread@chained=true", "simple-spread has no option 'chained'; it has max_cycles"),
        ("simple-reference@preset=x", "no option 'preset'"),
        ("simple-spread@local-ratio=1.5", "local_ratio must lie between 0 and 1, got 1.5"),
        ("simple-spread@local-ratio=much", "local_ratio must lie between 0 and 1, got much"),
        ("simple-reference@max-cycles=0", "max_cycles must be a whole number from 1, got 0"),
        ("simple-spread@num-agent-neighbors=0", "num_agent_neighbors must be at least 1"),
        ("simple-spread@collision-penalty=3", "collision_penalty must be true or false, got 3"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(name)


def test_moves_that_are_none_are_refused_and_nothing_moves() -> None:
    batch = make("simple-speaker-listener", 2)
    before = batch.state()
    for moves, words in (
        ([0, 0, 0], "move_index must be 4 integers"),
        ([0.0, 0, 0, 0], "move_index must be 4 integers"),
        ([0, 0, 3, 0], "move_index\\[2\\] is 3, but seat 0 of game 1 has 3 choices"),
        ([0, -1, 0, 0], "move_index\\[1\\] is -1, but seat 1 of game 0 has 5 choices"),
    ):
        with pytest.raises(ValueError, match=words):
            batch.step(np.array(moves))
    assert all(same(before[key], array) for key, array in batch.state().items())
    with pytest.raises(ValueError, match="state 'seed' must be uint64"):
        make("simple-speaker-listener", 3).load_state(before)
    with pytest.raises(ValueError, match="state must hold seed"):
        batch.load_state({})
    with pytest.raises(ValueError, match="seat must be from 0 to 1, got 2"):
        batch.observe(2)
    with pytest.raises(ValueError, match="seeds must have shape"):
        batch.reset(np.zeros(3, np.uint64))
    with pytest.raises(ValueError, match="num_games must be at least 1"):
        MpeBatched(configure("simple-spread", 3, {}), 0)
    with pytest.raises(ValueError, match="seed must be from 0"):
        MpeBatched(configure("simple-spread", 3, {}), 1, -1)


@pytest.mark.parametrize(
    ("config", "late"),
    [
        (MpeConfig(REFERENCE, 2), 0.12),
        (MpeConfig(REFERENCE, 2, chained=True), 0.12),
        (MpeConfig(SPEAKER_LISTENER, 2), 0.12),
        (MpeConfig(SPREAD, 3), 0.08),
    ],
)
def test_sentences_are_fine_enough_to_play_by(config: MpeConfig, late: float) -> None:
    """What planning by text loses of the way from random to optimum; with words, a step of time."""

    count = 20 if config.game == SPREAD else 40

    def earn(player: Callable[[MpeBatched], NDArray[np.int64]]) -> float:
        return float(reference.returns(config, player, count, 7).mean())

    random, told, text = map(earn, (reference.random_player(0), reference.told, reference.by_text))
    assert told > 0.4 * random
    assert told - text < late * (told - random)


def test_a_plan_looks_at_nobody_out_of_the_game() -> None:
    batch = make("simple-spread:2", 5)
    state = batch.state()
    ways = reference.told(batch)
    state["position"][:, 2:] = 0.1
    state["landmark"][:, 2:] = 0.1
    batch.load_state(state)
    assert same(reference.told(batch), ways)
    assert UNSAID not in ways
