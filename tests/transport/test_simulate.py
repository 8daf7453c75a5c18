"""A pool in virtual time answers a player's calls as a real one would."""

from __future__ import annotations

import numpy as np
import pytest

from transport.realtime import Player
from transport.schemes import SCHEMES, find_scheme
from transport.simulate import Latency, VirtualPool

RATE = 60.0


def played(scheme, frames, latency, workers, seed=0):
    """Which frame was seen by what was played at each, and what the pool computed."""
    computed = []

    def infer(tensors):
        computed.append(int(tensors["x"][0]))
        return {"y": tensors["x"] * 10}

    pool = VirtualPool(
        SCHEMES[scheme].make(workers, latency.median),
        latency,
        workers=workers,
        rate=RATE,
        seed=seed,
        infer=infer,
    )
    player, seen = Player(pool, SCHEMES[scheme].playout()), []
    for frame in pool.frames(frames):
        reply = player.play(frame)
        if reply is not None:
            assert reply.tensors["y"][0] == 10 * reply.frame
        seen.append(None if reply is None else reply.frame)
        player.observe(frame, {"x": np.array([frame])})
    return seen, computed, pool


def test_answers_come_when_an_inference_takes_its_time():
    seen, _, pool = played("frame_clock", 40, Latency(3.5 / RATE, 0.0), workers=5)
    assert seen[20:] == list(range(16, 36))  # 3.5 frames: playable at the fourth
    assert pool.pool.ledger.balance() == 0


def test_one_worker_covers_what_it_can():
    """It takes the newest when it is done, a moment before the next is seen."""
    seen, computed, _ = played("immediate", 41, Latency(4 / RATE, 0.0), workers=1)
    assert computed == [0, *range(3, 36, 4)]  # What was superseded is never computed.
    assert [frame for frame in seen if frame is not None] == computed
    assert [frame for frame, was in enumerate(seen) if was is not None] == list(range(4, 41, 4))


def test_an_answer_is_computed_once_though_several_workers_had_it():
    _, computed, _ = played("immediate", 200, Latency(0.1, 0.1), workers=8)
    assert len(computed) == len(set(computed)) > 20


def test_virtual_time_is_the_same_every_time():
    latency = Latency(0.1, 0.3)
    one, other, third = (played("expected_time", 300, latency, 6, seed=s)[0] for s in (1, 1, 2))
    assert one == other != third


def test_schemes_are_made_and_others_are_refused():
    for scheme in SCHEMES.values():
        scheme.make(3, 0.1)
        scheme.playout()
    with pytest.raises(ValueError, match="no schedule 'batch' for real time: choose one of seq"):
        find_scheme("batch")
