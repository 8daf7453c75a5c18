"""Replay in shards: the draws and weights are those of one table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from marl.episodes import Episodes, concatenate
from marl.replay.plan import Drawn, Figures, Plan
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig
from marl.replay.sharded import LocalShard, ShardedReplay, ShardGoneError, _split
from tests.marl.replay.test_prioritised import LABELS, MEMORY, fake_episodes

SHAPE = {"memory_size": MEMORY, "label_size": LABELS}


def labelled(number: int, rng: np.random.Generator, setting: int = 0, length: int = 3) -> Episodes:
    """A sequence that can be told by its version."""
    episodes = fake_episodes(rng, [length], setting)
    episodes.version[:] = number
    return episodes


def filled(
    sizes: list[int], *, balanced: bool = False, settings: int = 1
) -> tuple[PrioritisedReplay, ShardedReplay, dict[int, float]]:
    """One table, and shards of these sizes that hold the same; and the priorities by label."""
    rng = np.random.default_rng(0)
    config = ReplayConfig(capacity=200, capacity_bytes=1 << 20, balanced=balanced)
    new = lambda seed: PrioritisedReplay(config, num_settings=settings, seed=seed, **SHAPE)  # noqa: E731
    one, tables = new(1), [new(2) for _ in sizes]
    errors: dict[int, float] = {}
    for table, size in zip(tables, sizes, strict=True):
        for _ in range(size):
            number = len(errors)
            setting = number % settings
            episodes = labelled(number, rng, setting, length=2 + 3 * setting)
            errors[number] = float(rng.gamma(0.7, 3.0))
            for to in (one, table):
                to.insert(episodes)
                to.update(np.array([to.inserted - 1]), np.array([errors[number]], np.float32))
    shards = [LocalShard(table) for table in tables]
    return one, ShardedReplay(shards, config, num_settings=settings, seed=3), errors


@pytest.mark.parametrize("settings", [1, 2])
@pytest.mark.parametrize("sizes", [[40], [10, 25, 5], [1, 0, 39]])
def test_shards_are_drawn_from_as_one_table(sizes: list[int], settings: int) -> None:
    """The counts of 60,000 draws fit one table's chances (chi squared), as the table's own do."""
    one, sharded, errors = filled(sizes, balanced=settings > 1, settings=settings)
    leaves = np.array([(error + 1e-6) ** 0.6 for error in errors.values()])
    setting = np.arange(len(leaves)) % settings
    expected = np.zeros(len(leaves))
    for k in range(settings):
        of = setting == k
        # Balanced: in inverse proportion to the mean length, and by priority within a setting.
        width = of.sum() / (of.sum() * (2 + 3 * k)) if settings > 1 else 1.0
        expected[of] = width * leaves[of] / leaves[of].sum()
    expected /= expected.sum()
    weights: dict[str, dict[int, float]] = {}
    for name, replay in (("one", one), ("sharded", sharded)):
        # A point a draw: strata would make the counts fit better than chance.
        drawn = [replay.sample(1) for _ in range(3000)]
        numbers = np.concatenate([sample.episodes.version for sample in drawn])
        seen = np.bincount(numbers, minlength=len(leaves))
        assert stats.chisquare(seen, expected * len(drawn)).pvalue > 1e-4, name
        many = replay.sample(5000)
        seen = np.bincount(many.episodes.version, minlength=len(leaves))
        assert np.abs(seen - 5000 * expected).max() <= 3 + len(sizes)  # Strata leave little.
        weights[name] = dict(
            zip(many.episodes.version.tolist(), many.weights.tolist(), strict=True)
        )
    common = weights["one"].keys() & weights["sharded"].keys()
    assert len(common) > 35 - 10 * settings
    if weights["one"].keys() == weights["sharded"].keys():
        for number in common:
            assert weights["one"][number] == pytest.approx(weights["sharded"][number], rel=1e-5)


def test_an_id_leads_back_to_its_shard() -> None:
    _, sharded, errors = filled([10, 20, 10])
    sample = sharded.sample(400)
    chosen = sample.episodes.version == 15
    assert chosen.any()
    sharded.update(sample.ids[chosen], np.full(chosen.sum(), 1e9, np.float32))
    again = sharded.sample(100)
    assert (again.episodes.version == 15).mean() > 0.9
    assert set(again.ids >> 48) <= {0, 1, 2}
    assert len(errors) == len(sharded) == sharded.counts[0, 0] == 40
    with pytest.raises(ValueError, match="no shard has the id"):
        sharded.update(np.array([3 << 48]), np.ones(1, np.float32))
    with pytest.raises(ValueError, match="do not match"):
        sharded.update(sample.ids, np.ones(1, np.float32))


class Flaky(LocalShard):
    """A shard that tells old figures, or goes while it is drawn from."""

    def __init__(self, table: PrioritisedReplay) -> None:
        super().__init__(table)
        self.old: Figures | None = None
        self.going = self.gone = False

    def figures(self) -> Figures | None:  # type: ignore[override]
        return None if self.gone else self.old or super().figures()

    def start(
        self, subtrees: NDArray[np.int64], fractions: NDArray[np.float64], credit: int
    ) -> Callable[[], Drawn]:
        return self.vanish if self.going else super().start(subtrees, fractions, credit)

    def vanish(self) -> Drawn:
        self.gone = True
        raise ShardGoneError


def test_weights_are_of_the_chances_in_fact() -> None:
    """A shard that has changed since it told its figures is drawn too often: weights undo that."""
    rng = np.random.default_rng(0)
    config = ReplayConfig(capacity=50, capacity_bytes=1 << 20, beta=1.0)
    shards = [Flaky(PrioritisedReplay(config, seed=k, **SHAPE)) for k in range(2)]
    for number in range(8):
        shards[number % 2].insert(labelled(number, rng))
    shards[0].old = shards[0].figures()
    shards[0].update(np.arange(4), np.full(4, 0.01, np.float32))  # Its mass is far smaller now.
    replay = ShardedReplay(shards, config, seed=0)
    sample = replay.sample(4000)
    # Half the draws, though by now it should have far fewer; all its sequences have equal chances,
    # as those of the other have, and with beta = 1 the weights make all of them count the same.
    total = np.bincount(sample.episodes.version, sample.weights, minlength=8)
    np.testing.assert_allclose(total, total.mean(), rtol=0.02)


def test_a_shard_that_goes_costs_its_own_sequences() -> None:
    rng = np.random.default_rng(0)
    config = ReplayConfig(capacity=50, capacity_bytes=1 << 20)
    shards = [Flaky(PrioritisedReplay(config, seed=k, **SHAPE)) for k in range(2)]
    for number in range(8):
        shards[number % 2].insert(labelled(number, rng))
    replay = ShardedReplay(shards, config)
    seen = replay.sample(200)
    told = shards[0].figures()
    shards[0].start = lambda *rest: (_ for _ in ()).throw
    shards[0].old = told

    def vanish():
        shards[0].gone = True
        raise ShardGoneError

    shards[0].start = lambda *rest: vanish
    sample = replay.sample(100)
    assert set(sample.episodes.version.tolist()) == {1, 3, 5, 7}
    assert replay.failures == 1
    assert len(replay) == 4
    replay.update(seen.ids[seen.ids >> 48 == 1], np.ones((seen.ids >> 48 == 1).sum(), np.float32))
    replay.insert(labelled(9, rng))
    assert len(replay) == 5
    shards[1].gone = True
    with pytest.raises(ShardGoneError):
        replay.sample(1)
    with pytest.raises(ValueError, match="no shard of the replay is there"):
        replay.insert(labelled(9, rng))


def test_episodes_stay_whole() -> None:
    rng = np.random.default_rng(0)
    config = ReplayConfig(capacity=60, capacity_bytes=1 << 20)
    tables = [PrioritisedReplay(config, whole_episodes=True, seed=k, **SHAPE) for k in range(2)]
    for game in range(12):
        seats = [labelled(game, rng) for _ in range(3)]
        for seat, episodes in enumerate(seats):
            episodes.seat[:] = seat
        tables[game % 2].insert(concatenate(seats))
    replay = ShardedReplay([LocalShard(table) for table in tables], config, whole_episodes=True)
    sample = replay.sample(30)
    assert len(sample.ids) == len(sample.weights) == 10
    assert len(sample.episodes) == 30
    assert (sample.episodes.seat.reshape(10, 3) == [0, 1, 2]).all()
    assert (np.ptp(sample.episodes.version.reshape(10, 3), axis=1) == 0).all()


def test_points_at_the_edges_lie_in_a_table_that_holds_something() -> None:
    masses = np.array([[0.0], [2.0], [0.0], [2.0], [0.0]])
    owners, within = _split(masses, np.zeros(3, int), np.array([0.0, 0.5, 1.0]))
    assert owners.tolist() == [1, 3, 3]
    np.testing.assert_allclose(within, [0.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="at least one shard"):
        ShardedReplay([], ReplayConfig())
    with pytest.raises(ValueError, match="at least 1 sequence, got 0"):
        Plan(np.ones((1, 3), np.int64)).points(0, np.random.default_rng(0))
