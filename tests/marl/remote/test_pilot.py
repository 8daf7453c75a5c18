"""Who plays a world that does not wait: in virtual time, where everything can be counted."""

from __future__ import annotations

import numpy as np
import pytest

from games.settings import parse
from games.world import World
from marl.acting.recorder import NEVER, Recorder
from marl.remote.pilot import Pilot
from marl.remote.policy import infer
from marl.remote.realtime import play_in_virtual_time
from marl.runs import roster
from transport.realtime import Player
from transport.schemes import SCHEMES
from transport.simulate import Latency, VirtualPool

FRAME = 1 / 59.7275
PARCELS = parse("parcels@pace=4@every=2@parcels=4@told=32")[0]


def play(name="sorter", setting=PARCELS, scheme="frame_clock", frames=8, **options):
    policy = roster.load(f"bot:{name}").policy
    if options.get("told") == "foreseen":
        options["draft"] = policy
    latency = Latency(frames * FRAME, 0.05)
    return play_in_virtual_time(setting, policy, SCHEMES[scheme], latency, seed=5, **options)


def test_at_eight_frames_who_knows_its_choices_keeps_its_reward_and_others_do_not() -> None:
    known = play(told="foreseen", games=2)
    assert min(known.scores) >= 0.8 * 8
    assert known.counts["stale"] == 0
    assert known.summary()["age_frames"] == pytest.approx(10, abs=0.1)
    for others in (
        play(scheme="sequential", games=2),
        play(told="nothing", games=2),
        play(scheme="expected_time", games=2),
    ):
        assert np.mean(others.scores) < 0.8 * 8


def test_within_a_turn_everything_that_has_come_back_is_all_there_is() -> None:
    answered, foreseen = play(frames=1), play(frames=1, told="foreseen")
    assert answered.scores == foreseen.scores == [8]
    assert answered.freshness.ages == {1: 62}  # of 64: the age is first guessed as 2


def test_a_game_is_the_same_every_time() -> None:
    one, two = (play(scheme="max_time") for _ in range(2))
    assert one.summary() == two.summary()


def test_blocks_and_tracking_are_played_too() -> None:
    blocks = parse("blocks@choose=buttons@level=8@pieces=12@told=32")[0]
    assert play("stacker", blocks, told="foreseen").scores[0] >= 2
    assert play("stacker", blocks, told="nothing").scores[0] == 0
    tracking = parse("tracking@noise=0@frames=100")[0]
    assert play("tracker", tracking).scores[0] >= 75
    assert play("tracker", tracking, scheme="sequential").scores[0] < 20


class Counting:
    """Remembers how many turns it has seen, and points at that cell."""

    memory_size, version, phrasebook = 1, 0, None

    def __init__(self):
        self.seen = []

    def act(self, observations, memory):
        self.seen.append(int(memory[0, 0]) + 1)
        rows = len(observations)
        return np.zeros(rows, np.int64), np.zeros((rows, 1), np.float32), memory + 1

    def remember(self, facts, counts, memory):
        return memory + (counts >= 0).sum(1, keepdims=True).astype(np.float32)


@pytest.mark.parametrize("memory", ["newest", "replayed"])
def test_a_memory_that_is_replayed_has_seen_every_turn(memory) -> None:
    policy, setting = Counting(), parse("tracking@frames=60")[0]
    play_in_virtual_time(
        setting, policy, SCHEMES["frame_clock"], Latency(5.5 * FRAME, 0.0), games=2, memory=memory
    )
    first = policy.seen[:55]
    if memory == "replayed":
        assert first == list(range(1, 56))
    else:  # Six chains of memory, each of which sees every sixth turn.
        assert first[:18] == [1] * 6 + [2] * 6 + [3] * 6
    # The second game begins with an empty memory, and the first one's answers are passed over.
    assert policy.seen.count(1) == (2 if memory == "replayed" else 12)


def test_what_is_on_its_way_is_told_turn_by_turn() -> None:
    """Always to the left, four turns late: foreseen it is known at once."""

    class Left:
        memory_size, version = 0, 0

        def __init__(self, book):
            self.phrasebook, self.told = book, []

        def act(self, observations, memory):
            facts = self.phrasebook.render(observations.facts[0])
            self.told.append([int(f.split()[3]) for f in facts if f.startswith("I press left")])
            left = [*self.phrasebook].index("I press left")
            found = np.argmax(observations.choices == left, axis=1)
            return found, np.zeros((1, 1), np.float32), memory

    setting = parse("blocks@choose=buttons@pieces=1@level=5@told=8")[0]
    for told, known in (("nothing", []), ("answered", [1]), ("foreseen", [1, 2, 3, 4])):
        policy = Left(setting.batched(1).phrasebook)
        draft = Left(policy.phrasebook) if told == "foreseen" else None
        latency = Latency(7 * FRAME, 0.0)
        scheme = SCHEMES["frame_clock"]
        play_in_virtual_time(setting, policy, scheme, latency, told=told, draft=draft)
        assert policy.told[30] == known, told


def test_nothing_that_is_kept_grows() -> None:
    setting, policy = parse("tracking@frames=50")[0], Counting()
    world = World(setting.batched(1))
    latency = Latency(40 * FRAME, 0.3)
    pool = VirtualPool(
        SCHEMES["immediate"].make(20, 0.5),
        latency,
        workers=20,
        rate=world.rate,
        infer=lambda tensors: infer(policy, 1 << 14, tensors),
    )
    pilot = Pilot(world, Player(pool, SCHEMES["immediate"].playout()), policy)
    for turn in pool.frames(2600):
        pilot.turn(turn)
    assert len(pilot._asked) < 100
    assert len(pilot._answers) <= 1001
    assert len(pilot._past) <= 128
    assert not pilot._plan


@pytest.mark.parametrize(
    ("scheme", "told"),
    [("frame_clock", "answered"), ("frame_clock", "foreseen"), ("immediate", "answered")],
)
def test_a_recorder_keeps_what_the_world_did_and_who_chose_it(scheme, told) -> None:
    world, policy, games = World(PARCELS.batched(1, 5)), roster.load("bot:sorter").policy, []
    recorder = Recorder(world, games.append, label_size=1)
    latency, workers = Latency(5 * FRAME, 0.4), 4
    pool = VirtualPool(
        SCHEMES[scheme].make(workers, latency.median),
        latency,
        workers=workers,
        rate=world.rate,
        infer=lambda tensors: infer(policy, 1 << 14, tensors),
    )
    player = Player(pool, SCHEMES[scheme].playout(2))
    pilot = Pilot(world, player, policy, told=told, draft=policy, recorder=recorder)
    done, played = {}, {}
    for turn in pool.frames(1000):
        before = dict(world.counts)
        step = pilot.turn(turn)
        done[turn] = list(world.applied)
        played[turn] = world.counts["nothing"] == before["nothing"]
        if step.over[0]:
            break
    last = turn
    (episodes,), decisions = games, recorder.decisions
    first = np.cumsum(episodes.choice_counts) - episodes.choice_counts
    learned = episodes.choices[first + episodes.actions]
    np.testing.assert_array_equal(learned, decisions["done"])
    idle = world.game.idle
    acted = decisions["applied"] != NEVER
    assert 0.5 < acted.mean() < 1 or told == "foreseen"
    assert (decisions["done"][~acted] == idle).all()
    for own in decisions[acted]:
        turn = own["applied"] // 2
        assert played[turn]
        assert own["done"] == done[turn][own["seat"]]
        assert own["applied"] - own["saw"] == own["age"] > 0
        assert own["done"] in (own["chosen"], idle)
    # Every choice that the world did is some own turn's.
    assert acted.sum() == 2 * sum(played.values())
    guessed = decisions["version"][acted] == -1
    assert guessed.sum() == 2 * pilot.guessed
    assert guessed.any() == (told == "foreseen")
    assert episodes.rewards.sum() == 2 * pilot.rewards
    assert episodes.elapsed.sum() == 2 * 2 * (last + 1 - decisions["saw"].min() // 2)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="give one"):
        play_in_virtual_time(
            PARCELS,
            roster.load("bot:sorter").policy,
            SCHEMES["frame_clock"],
            Latency(),
            told="foreseen",
        )
    with pytest.raises(ValueError, match="cannot be played in real time"):
        play("sorter", parse("blocks")[0])
    tensors = {
        "facts": np.zeros((1, 2), np.int16),
        "fact_counts": np.ones(1, np.int16),
        "choices": np.zeros((1, 2), np.int16),
        "choice_counts": np.ones(1, np.int16),
        "memory": np.zeros((1, 1), np.float32),
        "past_facts": np.zeros((1, 3, 2), np.int16),
        "past_counts": np.ones((1, 3), np.int16),
    }
    assert infer(Counting(), 9, tensors)["memory"][0, 0] == 4
    for name, odd, why in (
        ("past_counts", np.ones((1, 2), np.int16), "past_facts must be int16"),
        ("past_counts", np.full((1, 3), 5, np.int16), "past_counts must lie between -1 and 2"),
        ("past_facts", np.full((1, 3, 2), 9, np.int16), "ids below 9"),
    ):
        with pytest.raises(ValueError, match=why):
            infer(Counting(), 9, tensors | {name: odd})


def test_who_is_told_nothing_is_asked_when_its_last_choice_has_acted() -> None:
    for told, asked in (("answered", 59), ("nothing", 30)):
        policy, setting = Counting(), parse("tracking@frames=60")[0]
        played = play_in_virtual_time(
            setting, policy, SCHEMES["sequential"], Latency(0.5 * FRAME, 0.0), told=told
        )
        assert len(policy.seen) == asked
        assert played.freshness.counts["fresh"] == asked
