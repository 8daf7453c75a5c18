"""Prioritised replay against a plain list of sequences."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from marl.episodes import Episodes, concatenate
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig

MEMORY, LABELS = 6, 3


def fake_episodes(
    rng: np.random.Generator, lengths: list[int], setting: int = 0, memory: int = MEMORY
) -> Episodes:
    """Random sequences; every other one starts from a memory of zeros."""
    steps = sum(lengths)
    fact_counts = rng.integers(0, 9, steps).astype(np.int16)
    choice_counts = rng.integers(1, 5, steps).astype(np.int16)
    memories = rng.normal(size=(len(lengths), memory)).astype(np.float32)
    memories[::2] = 0
    return Episodes(
        lengths=np.array(lengths, np.int32),
        fact_counts=fact_counts,
        facts=rng.integers(0, 2**15, fact_counts.sum()).astype(np.int16),
        choice_counts=choice_counts,
        choices=rng.integers(0, 2**15, choice_counts.sum()).astype(np.int16),
        actions=rng.integers(0, choice_counts).astype(np.int16),
        rewards=rng.normal(size=steps).astype(np.float32),
        elapsed=rng.integers(0, 90, steps).astype(np.int16),
        fresh=rng.random(len(lengths)) < 0.5,
        terminal=rng.random(len(lengths)) < 0.5,
        memory=memories,
        setting=np.full(len(lengths), setting, np.int16),
        version=rng.integers(0, 2**31 - 1, len(lengths)).astype(np.int32),
        seat=(np.arange(len(lengths)) % 5).astype(np.int8),
        partner=(np.arange(len(lengths)) % 3).astype(np.int16),
        labels=rng.integers(-1, 25, (steps, LABELS)).astype(np.int8),
        taught=(np.arange(steps) % (choice_counts + 1) - 1).astype(np.int16),
    )


def make_replay(**options: object) -> PrioritisedReplay:
    """A replay of a few sequences."""
    settings = int(options.pop("num_settings", 1))  # type: ignore[call-overload]
    whole = bool(options.pop("whole_episodes", False))
    config = ReplayConfig(**{"capacity": 64, "capacity_bytes": 1 << 20, **options})  # type: ignore[arg-type]
    return PrioritisedReplay(
        config,
        memory_size=MEMORY,
        label_size=LABELS,
        num_settings=settings,
        whole_episodes=whole,
        seed=3,
    )


def single(episodes: Episodes) -> list[Episodes]:
    """One batch of one sequence for every sequence."""
    steps = np.concatenate([[0], np.cumsum(episodes.lengths)])
    facts = np.concatenate([[0], np.cumsum(episodes.fact_counts)])[steps]
    choices = np.concatenate([[0], np.cumsum(episodes.choice_counts)])[steps]
    cuts = {"facts": facts, "choices": choices}
    by_sequence = {
        *("lengths", "fresh", "terminal", "memory", "setting", "version", "seat", "partner")
    }
    return [
        Episodes(
            **{
                field.name: getattr(episodes, field.name)[e : e + 1]
                if field.name in by_sequence
                else getattr(episodes, field.name)[
                    cuts.get(field.name, steps)[e] : cuts.get(field.name, steps)[e + 1]
                ]
                for field in fields(Episodes)
            }
        )
        for e in range(len(episodes))
    ]


def assert_same(left: Episodes, right: Episodes) -> None:
    for field in fields(Episodes):
        a, b = getattr(left, field.name), getattr(right, field.name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, err_msg=field.name)


def assert_same_state(left: PrioritisedReplay, right: PrioritisedReplay) -> None:
    a, b = left.state(), right.state()
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].tobytes() == b[name].tobytes(), name


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("capacity", "capacity_bytes"), [(13, 1 << 20), (1000, 4000), (40, 9000)])
def test_sequences_come_back_as_they_went_in(
    capacity: int, capacity_bytes: int, balanced: bool
) -> None:
    """Against a list that holds everything: content, order of eviction, late updates, counts."""
    rng = np.random.default_rng(capacity)
    memory = make_replay(
        capacity=capacity, capacity_bytes=capacity_bytes, balanced=balanced, num_settings=3
    )
    everything: list[Episodes] = []
    late = 0
    for _ in range(300):
        lengths = rng.integers(1, 30, rng.integers(1, 9)).tolist()
        batch = fake_episodes(rng, lengths, setting=int(rng.integers(3)))
        memory.insert(batch)
        everything += single(batch)
        assert memory.inserted == len(everything)
        assert 1 <= len(memory) <= capacity
        live = everything[memory.evicted :]
        assert memory.counts[:, 1].sum() == sum(one.steps for one in live)
        for setting in range(3):
            mine = [one for one in live if one.setting[0] == setting]
            assert memory.counts[setting].tolist() == [len(mine), sum(one.steps for one in mine)]
        drawn = memory.sample(int(rng.integers(1, 20)))
        assert memory.evicted <= drawn.ids.min() <= drawn.ids.max() < memory.inserted
        assert_same(drawn.episodes, concatenate([everything[i] for i in drawn.ids]))
        ids = np.append(drawn.ids, rng.integers(0, memory.inserted, 3))
        memory.update(ids, rng.random(len(ids)).astype(np.float32))
        late += int((ids < memory.evicted).sum())
        assert memory.late_updates == late
    assert memory.evicted > 100
    assert late > 0


def test_the_ring_is_used_whole() -> None:
    """Sequences are evicted for want of room only: what remains fills most of the ring."""
    rng = np.random.default_rng(0)
    memory = make_replay(capacity=10_000, capacity_bytes=100_000)
    for _ in range(200):
        memory.insert(fake_episodes(rng, rng.integers(1, 30, 8).tolist()))
    used = memory.nbytes - len(memory) * (12 * 8 + 16)  # slots and leaves
    assert 0.95 * 100_000 < used <= 100_000


def test_draws_follow_the_priorities_and_weights_undo_them() -> None:
    rng = np.random.default_rng(4)
    memory = make_replay(alpha=0.7, beta=0.5)
    memory.insert(fake_episodes(rng, [3] * 40))
    priorities = rng.random(40) * 4
    memory.update(np.arange(40), priorities)
    chances = (priorities + 1e-6) ** 0.7
    chances /= chances.sum()
    counts = np.zeros(40)
    for _ in range(200):
        drawn = memory.sample(500)
        counts += np.bincount(drawn.ids, minlength=40)
        expected = (40 * chances[drawn.ids]) ** -0.5
        np.testing.assert_allclose(drawn.weights, expected / expected.max(), rtol=1e-6)
        assert drawn.weights.max() == 1
    np.testing.assert_allclose(counts / counts.sum(), chances, atol=2e-4)


def test_new_sequences_get_the_highest_priority_seen() -> None:
    rng = np.random.default_rng(5)
    memory = make_replay(alpha=1.0)
    memory.insert(fake_episodes(rng, [2] * 4))
    memory.update(np.arange(4), np.array([9.0, 0.5, 0.5, 0.5]))
    memory.update(np.array([0]), np.array([0.5]))
    memory.insert(fake_episodes(rng, [2]))
    counts = np.bincount(memory.sample(11_000).ids, minlength=5)
    np.testing.assert_allclose(counts, [500, 500, 500, 500, 9000], atol=3)


def test_balanced_settings_share_the_sampled_steps() -> None:
    rng = np.random.default_rng(6)
    memory = make_replay(capacity=500, balanced=True, num_settings=4, max_length=60)
    lengths = {0: 40, 1: 20, 3: 8}  # nothing yet of setting 2
    for setting, length in lengths.items():
        memory.insert(fake_episodes(rng, [length] * (10 + 100 * setting), setting))
    memory.update(np.arange(330), rng.random(330))
    drawn = memory.sample(40_000).episodes
    steps = np.bincount(drawn.setting, drawn.lengths, minlength=4)
    shares = steps / steps.sum()
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 0, 1 / 3], atol=1e-3)


def test_balanced_weights_undo_the_priorities_within_a_setting() -> None:
    rng = np.random.default_rng(12)
    memory = make_replay(balanced=True, num_settings=2, alpha=1.0, beta=1.0)
    memory.insert(fake_episodes(rng, [3] * 10, setting=0))
    memory.insert(fake_episodes(rng, [3] * 40, setting=1))
    priorities = rng.random(50) + 0.1
    memory.update(np.arange(50), priorities)
    means = np.array([priorities[:10].mean(), priorities[10:].mean()])
    drawn = memory.sample(2_000)
    expected = means[drawn.episodes.setting] / priorities[drawn.ids]
    np.testing.assert_allclose(drawn.weights, expected / expected.max(), rtol=1e-4)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("balanced", [False, True])
def test_a_restored_replay_goes_on_bit_for_bit(balanced: bool, whole: bool) -> None:
    options = {"capacity": 50, "capacity_bytes": 12_000, "balanced": balanced, "num_settings": 2}
    options["whole_episodes"] = whole
    rng = np.random.default_rng(7)
    memory = make_replay(**options)
    restored = make_replay(**options)
    restored.load_state(memory.state())
    assert_same_state(memory, restored)  # while empty, too
    two = fake_episodes(rng, [7, 8])
    two.seat[:] = 0
    memory.insert(two)
    restored.insert(fake_episodes(rng, [2] * 40))  # all of it thrown over by what is loaded
    restored.load_state(memory.state())
    assert set(restored.sample(100).ids) == {0, 1}
    restored.load_state(memory.state())
    wrapped = 0
    for turn in range(120):
        batch = fake_episodes(rng, rng.integers(1, 30, 5).tolist(), setting=turn % 2)
        batch.seat = np.array([0, 1, 0, 1, 2], np.int8)
        # One that has lived, and is thrown over; and one that is new.
        other = restored if turn % 3 else make_replay(**options)
        other.load_state({k: np.array(v) for k, v in memory.state().items()})
        wrapped += len(memory.state()["head"]) > 0
        assert_same_state(memory, other)
        left, right = (one.sample(16) for one in (memory, other))
        n = len(left.ids)
        np.testing.assert_array_equal(left.ids, right.ids)
        assert left.weights.tobytes() == right.weights.tobytes()
        assert_same(left.episodes, right.episodes)
        priorities = (turn + 1) * rng.random(n).astype(np.float32)
        for one, ids in ((memory, left.ids), (other, right.ids)):
            one.update(ids, priorities)
            one.insert(batch)
        assert_same_state(memory, other)
        np.testing.assert_array_equal(memory.counts, other.counts)
        restored = other
    assert 20 < wrapped < 120


def fake_teams(rng: np.random.Generator, sizes: list[int], length: int, setting: int) -> Episodes:
    """Episodes of so many seats each."""
    team = fake_episodes(rng, [length] * sum(sizes), setting)
    team.seat = np.concatenate([np.arange(size) for size in sizes]).astype(np.int8)
    return team


@pytest.mark.parametrize("balanced", [False, True])
def test_whole_episodes_come_back_whole(balanced: bool) -> None:
    """All seats in order, also when the oldest have lost some of theirs to newer ones."""
    rng = np.random.default_rng(13)
    memory = make_replay(
        capacity=61, capacity_bytes=20_000, balanced=balanced, num_settings=2, whole_episodes=True
    )
    everything: list[Episodes] = []
    orphans = 0
    for turn in range(150):
        sizes = rng.integers(1, 6, 3).tolist()
        batch = fake_teams(rng, sizes, int(rng.integers(1, 9)), turn % 2)
        memory.insert(batch)
        everything += single(batch)
        live = everything[memory.evicted :]
        orphans += live[0].seat[0] > 0
        drawn = memory.sample(20)
        assert drawn.ids.shape == drawn.weights.shape
        wanted = []
        for first in drawn.ids.tolist():
            assert memory.evicted <= first
            assert everything[first].seat[0] == 0
            last = first + 1
            while last < len(everything) and everything[last].seat[0] > 0:
                last += 1
            wanted += everything[first:last]
        assert_same(drawn.episodes, concatenate(wanted))
        memory.update(drawn.ids, rng.random(len(drawn.ids)))
    assert orphans > 10
    assert memory.evicted > 300


def test_about_as_many_sequences_are_drawn_in_whole_episodes() -> None:
    rng = np.random.default_rng(14)
    memory = make_replay(capacity=500, balanced=True, num_settings=2, whole_episodes=True)
    memory.insert(fake_teams(rng, [2] * 40, 30, setting=0))
    memory.insert(fake_teams(rng, [5] * 20, 10, setting=1))
    drawn = memory.sample(6_000)
    assert len(drawn.episodes) == pytest.approx(6_000, rel=0.02)
    # An episode of two seats has 60 steps, one of five 50: the steps are shared equally.
    steps = np.bincount(drawn.episodes.setting, drawn.episodes.lengths)
    np.testing.assert_allclose(steps / steps.sum(), 0.5, atol=0.01)
    assert len(memory.sample(1).ids) == 1


def test_priorities_are_those_of_whole_episodes() -> None:
    rng = np.random.default_rng(15)
    memory = make_replay(alpha=1.0, beta=1.0, whole_episodes=True)
    memory.insert(fake_teams(rng, [3, 2, 3], 4, 0))
    memory.update(np.array([0, 3, 5]), np.array([1.0, 2.0, 5.0]))
    drawn = memory.sample(8_000)
    counts = np.bincount(drawn.ids, minlength=8)
    assert counts.nonzero()[0].tolist() == [0, 3, 5]
    np.testing.assert_allclose(counts[[0, 3, 5]] / counts.sum(), [1 / 8, 2 / 8, 5 / 8], atol=1e-3)
    expected = 1 / np.array([1, 0, 0, 2, 0, 5])[drawn.ids]
    np.testing.assert_allclose(drawn.weights, expected / expected.max(), rtol=1e-4)


def test_a_replay_of_another_shape_is_not_restored() -> None:
    with pytest.raises(ValueError, match="resume with the configuration"):
        make_replay(capacity=65).load_state(make_replay().state())


def test_sequences_without_memory_start_from_zeros() -> None:
    memory = make_replay()
    memory.insert(fake_episodes(np.random.default_rng(8), [4, 5, 6], memory=0))
    drawn = memory.sample(5).episodes.memory
    assert drawn.shape == (5, MEMORY)
    assert not drawn.any()


def test_arrays_of_a_reader_are_taken() -> None:
    """Arrays received over a wire can be read only, and slices are not contiguous."""
    batch = fake_episodes(np.random.default_rng(9), [4, 5, 6])
    batch.rewards = np.repeat(batch.rewards, 2)[::2]
    for field in fields(Episodes):
        getattr(batch, field.name).flags.writeable = False
    memory = make_replay()
    memory.insert(batch)
    drawn = memory.sample(3)
    assert_same(drawn.episodes, concatenate([single(batch)[i] for i in drawn.ids]))


def changed(array: np.ndarray, index: int, value: float) -> np.ndarray:
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("lengths", lambda a: changed(a, 1, 0), "sequence 1 must have 1 to 128 steps"),
        ("lengths", lambda a: changed(a, 1, 129), "sequence 1 must have 1 to 128 steps"),
        ("lengths", lambda a: changed(a, 2, 7), "add up to 16 steps"),
        ("lengths", lambda a: changed(a, 2, 5), "add up to 14 steps"),
        ("lengths", lambda a: a.astype(np.int64), "must be int32, got int64"),
        ("rewards", lambda a: a[:-1], "episodes.rewards must have the shape"),
        ("rewards", lambda a: changed(a, 3, np.nan), "sequence 0 has a reward that is not finite"),
        ("actions", lambda a: changed(a, 3, 5), "sequence 0 has a step"),
        ("actions", lambda a: changed(a, 3, -1), "sequence 0 has a step"),
        ("fact_counts", lambda a: changed(a, 2, -1), "sequence 0 has a step"),
        ("facts", lambda a: a[:-1], "fact_counts add up to"),
        ("facts", lambda a: changed(a, 0, -1), "must hold ids, got -1"),
        ("choices", lambda a: a[:-1], "choice_counts add up to"),
        ("labels", lambda a: a[:, :-1], "episodes.labels must have the shape"),
        ("taught", lambda a: changed(a, 5, 5), "sequence 1 has a teacher's choice"),
        ("taught", lambda a: changed(a, 5, -2), "sequence 1 has a teacher's choice"),
        ("seat", lambda a: a[:-1], "episodes.seat must have the shape"),
        ("memory", lambda a: a[:, :-1], "episodes.memory must have the shape"),
        ("setting", lambda a: changed(a, 0, 1), r"must be in \[0, 1\), got 1"),
        ("partner", lambda a: changed(a, 1, -1), "episodes.partner cannot be negative, got -1"),
    ],
)
def test_malformed_episodes_are_refused_whole(field, change, message) -> None:  # type: ignore[no-untyped-def]
    batch = fake_episodes(np.random.default_rng(10), [4, 5, 6])
    memory = make_replay()
    memory.insert(batch)
    before = make_replay()
    before.load_state(memory.state())
    with pytest.raises(ValueError, match=message):
        memory.insert(replace(batch, **{field: change(getattr(batch, field))}))
    assert_same_state(memory, before)


def test_misuse_is_named() -> None:
    rng = np.random.default_rng(11)
    memory = make_replay(capacity_bytes=300)
    with pytest.raises(ValueError, match="empty"):
        memory.sample(1)
    with pytest.raises(ValueError, match=r"raise replay\.capacity_bytes"):
        memory.insert(fake_episodes(rng, [60]))
    memory.insert(fake_episodes(rng, [1, 1]))
    with pytest.raises(ValueError, match="at least 1 sequence, got 0"):
        memory.sample(0)
    with pytest.raises(ValueError, match="no sequence of id 2"):
        memory.update(np.array([2]), np.array([1.0]))
    for bad in (np.nan, -1.0, np.inf):
        with pytest.raises(ValueError, match=f"got {bad}"):
            memory.update(np.array([0]), np.array([bad]))
    for name, value in (("capacity", 0), ("alpha", 1.5), ("eta", -0.1), ("max_length", 0)):
        with pytest.raises(ValueError, match=f"replay.{name} must be .* got {value}"):
            ReplayConfig(**{name: value})  # type: ignore[arg-type]


def test_two_player_hanabi_fits_ten_kilobytes() -> None:
    """A seat's episode of 35 turns, 60 facts, 14 choices and 5 labels each."""
    steps = 35
    batch = Episodes(
        lengths=np.array([steps], np.int32),
        fact_counts=np.full(steps, 60, np.int16),
        facts=np.zeros(60 * steps, np.int16),
        choice_counts=np.full(steps, 14, np.int16),
        choices=np.zeros(14 * steps, np.int16),
        actions=np.zeros(steps, np.int16),
        rewards=np.zeros(steps, np.float32),
        elapsed=np.ones(steps, np.int16),
        fresh=np.ones(1, np.bool_),
        terminal=np.ones(1, np.bool_),
        memory=np.zeros((1, 512), np.float32),
        setting=np.zeros(1, np.int16),
        version=np.zeros(1, np.int32),
        seat=np.zeros(1, np.int8),
        partner=np.zeros(1, np.int16),
        labels=np.zeros((steps, 5), np.int8),
        taught=np.full(steps, -1, np.int16),
    )
    memory = PrioritisedReplay(ReplayConfig(), memory_size=512, label_size=5)
    memory.insert(batch)
    assert memory.nbytes <= 10_000
