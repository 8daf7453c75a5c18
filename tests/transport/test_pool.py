from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from transport.pool import Pool, PoolConfig
from transport.schedules import Batch, FrameClock, Immediate, MaxTime, Request
from transport.wire import Kind


def pool(schedule=None, **config):
    return Pool(schedule or Batch(1), PoolConfig(**config))


def ask(pool, number, now=0.0, client=b"c"):
    request = Request(client, number, frame=number, arrived=now)
    pool.submit(request, now)
    pool.advance(now)
    return request


def taken(items):
    items[:], copy = [], list(items)
    return copy


def reply(pool, lease, now, text="answer"):
    pool.answer(lease.worker, lease.epoch, [(Kind.REPLY, text)] * len(lease.requests), now)
    pool.advance(now)


def test_a_request_is_leased_and_answered():
    p = pool()
    p.join(b"w", 0.0)
    request = ask(p, 0)
    (lease,) = taken(p.leases)
    assert lease.requests == [request]
    reply(p, lease, 0.1)
    (outcome,) = taken(p.outcomes)
    assert (outcome.request, outcome.kind, outcome.message) == (request, Kind.REPLY, "answer")
    assert p.ledger.balance() == 0
    assert p.ledger.open_requests() == 0


def test_an_expired_lease_goes_to_another_worker_and_its_late_answer_is_dropped():
    p = pool(lease=1.0, silence=math.inf)
    p.join(b"slow", 0.0)
    ask(p, 0)
    (late,) = taken(p.leases)
    p.join(b"quick", 0.5)
    p.advance(0.9)
    assert not p.leases
    p.advance(1.0)
    (lease,) = taken(p.leases)
    assert lease.worker == b"quick"
    assert lease.epoch != late.epoch
    reply(p, late, 1.1, "late")
    assert not p.outcomes
    assert p.counts["late"] == 1
    reply(p, lease, 1.2, "quick")
    assert [outcome.message for outcome in taken(p.outcomes)] == ["quick"]
    assert not p.knows(b"slow")


def test_an_answer_counts_once():
    p = pool()
    p.join(b"w", 0.0)
    ask(p, 0)
    (lease,) = taken(p.leases)
    reply(p, lease, 0.1)
    reply(p, lease, 0.2)
    assert len(p.outcomes) == 1
    assert p.counts["late"] == 1


def test_an_answer_of_another_workers_lease_does_not_count():
    p = pool()
    p.join(b"a", 0.0)
    p.join(b"b", 0.0)
    ask(p, 0)
    (lease,) = taken(p.leases)
    p.answer(b"b", lease.epoch, [(Kind.REPLY, "forged")], 0.1)
    assert not p.outcomes


def test_a_silent_idle_worker_is_gone_and_a_busy_one_is_not():
    p = pool(silence=1.0, lease=10.0)
    p.join(b"busy", 0.0)
    ask(p, 0)
    p.join(b"idle", 0.0)
    p.advance(1.1)
    assert p.workers() == [b"busy"]
    assert p.counts["silent"] == 1


def test_a_request_that_kills_its_workers_is_given_up():
    p = pool(max_leases=3)
    ask(p, 0)
    for number in range(3):
        p.join(b"%d" % number, 0.0)
        p.advance(0.0)
        assert len(taken(p.leases)) == 1
        p.leave(b"%d" % number, 0.0)
    (outcome,) = taken(p.outcomes)
    assert outcome.kind is Kind.ERROR
    assert "given up after 3 workers" in outcome.note


def test_a_poison_request_takes_no_others_with_it():
    """It ends whoever has it: after the first time it is leased alone, and then given up."""
    p = pool(Batch(64))
    requests = [ask(p, number) for number in range(21)]
    poison, killed, answered = requests[7], 0, 0
    for number in range(40):
        p.join(b"%d" % number, 0.0)
        p.advance(0.0)
        while leases := taken(p.leases):
            for lease in leases:
                if poison in lease.requests:
                    killed += 1
                    assert len(lease.requests) == (21 if killed == 1 else 1)
                    p.leave(lease.worker, 0.0)
                else:
                    reply(p, lease, 0.0)
            answered += len(leases)
    outcomes = taken(p.outcomes)
    failed = [outcome.request for outcome in outcomes if outcome.kind is Kind.ERROR]
    assert failed == [poison]
    assert len(outcomes) == 21
    assert killed == 3


def test_reasons_do_not_grow_from_request_to_request():
    p = pool(Batch(64), max_leases=1)
    for number in range(30):
        ask(p, number)
    p.join(b"w", 0.0)
    p.advance(0.0)
    p.leave(b"w", 0.0)
    assert {outcome.note for outcome in p.outcomes} == {"given up after 1 workers: worker lost"}


def test_workers_share_what_is_open():
    """Whoever is free first does not take all: the others are free a moment later."""
    p = pool(Batch(1024), silence=math.inf)
    for worker in range(8):
        p.join(b"%d" % worker, 0.0)
    for number in range(16):
        p.submit(Request(b"c", number, rows=64), 0.0)
    p.advance(0.0)
    leases = taken(p.leases)
    assert [len(lease.requests) for lease in leases] == [2] * 8
    for number in range(16, 24):  # All are busy: the first one to be free leaves some.
        p.submit(Request(b"c", number, rows=64), 0.0)
    reply(p, leases[0], 0.1)
    assert [len(lease.requests) for lease in taken(p.leases)] == [3]


def test_one_worker_takes_all():
    p = pool(Batch(1024))
    for number in range(16):
        p.submit(Request(b"c", number, rows=64), 0.0)
    p.join(b"w", 0.0)
    p.advance(0.0)
    assert [len(lease.requests) for lease in taken(p.leases)] == [16]


def test_bytes_are_bounded():
    p = pool(Batch(64), max_client_size=1000, max_size=1500)
    for client, number, size in ((b"a", 0, 5000), (b"b", 0, 600), (b"b", 1, 600), (b"b", 0, 600)):
        p.submit(Request(client, number, size=size), 0.0)
    (outcome,) = taken(p.outcomes)  # One alone may be large, and a repeat counts once.
    assert (outcome.request.client, outcome.request.number) == (b"b", 1)
    assert outcome.note == "more than 1000 bytes of open requests"
    assert not p.has_room()
    p.forget(b"a")
    assert p.has_room()
    p.join(b"w", 0.0)
    p.advance(0.0)
    reply(p, taken(p.leases)[0], 0.1)
    assert p.ledger.size == p.ledger.rows == p.ledger.open_requests() == 0
    assert p.ledger.balance() == 0


def test_a_pool_that_was_stopped_blames_nobody():
    p = pool(lease=1.0, silence=1.0)
    p.join(b"busy", 0.0)
    ask(p, 0)
    p.join(b"idle", 0.0)
    p.excuse(5.0, 5.0)
    p.advance(5.0)
    assert set(p.workers()) == {b"busy", b"idle"}
    p.advance(6.1)
    assert p.workers() == []


def test_requests_of_clients_that_went_pile_up_nowhere():
    for schedule in (Batch(), FrameClock()):
        p = pool(schedule)
        for number in range(5000):
            client = b"%d" % number
            p.submit(Request(client, 0, message=b"large", frame=0), 0.0)
            p.forget(client)
        left = schedule._waiting if isinstance(schedule, Batch) else schedule._newest.requests
        assert len(left) < 1100


def test_in_real_time_what_a_lost_worker_had_is_dropped():
    p = pool(FrameClock())
    p.join(b"w", 0.0)
    ask(p, 0)
    p.leave(b"w", 0.1)
    (outcome,) = taken(p.outcomes)
    assert (outcome.kind, outcome.note) == (Kind.DROP, "worker lost")


def test_one_observation_that_several_workers_have_is_answered_once():
    p = pool(Immediate())
    for worker in (b"a", b"b", b"c"):
        p.join(worker, 0.0)
    ask(p, 0)
    leases = taken(p.leases)
    assert len(leases) == 3
    p.leave(b"a", 0.1)
    for lease in leases[1:]:
        reply(p, lease, 0.2)
    assert len(p.outcomes) == 1
    assert p.ledger.balance() == 0


def test_an_answer_that_is_held_back_survives_its_worker():
    p = pool(MaxTime(1, 1.0))
    p.join(b"w", 0.0)
    ask(p, 0)
    (lease,) = taken(p.leases)
    reply(p, lease, 0.2)
    assert not p.outcomes
    p.leave(b"w", 0.3)
    p.advance(0.9)
    assert not p.outcomes
    assert p.wakeup(0.9) == 1.0
    p.advance(1.0)
    assert [outcome.kind for outcome in taken(p.outcomes)] == [Kind.REPLY]


def test_a_worker_rests_until_its_answer_is_out():
    p = pool(MaxTime(1, 1.0), silence=math.inf)
    p.join(b"w", 0.0)
    ask(p, 0)
    (lease,) = taken(p.leases)
    reply(p, lease, 0.2)
    ask(p, 1, 0.3)
    assert not p.leases
    p.advance(1.0)
    assert len(taken(p.leases)) == 1


def test_a_repeated_request_changes_nothing_while_it_is_open():
    p = pool()
    p.join(b"w", 0.0)
    ask(p, 0)
    ask(p, 0)
    assert len(p.leases) == 1
    assert p.ledger.counts["repeated"] == 1
    reply(p, taken(p.leases)[0], 0.1)
    taken(p.outcomes)
    ask(p, 0)  # The answer was lost on its way.
    assert len(p.leases) == 1
    assert p.ledger.counts["reopened"] == 1


def test_one_client_cannot_fill_the_pool():
    p = pool(max_client=2)
    for number in range(3):
        ask(p, number)
    (outcome,) = taken(p.outcomes)
    assert outcome.kind is Kind.DROP
    assert p.counts["refused"] == 1
    assert p.ledger.balance() == 0


def test_wrong_numbers_of_answers_are_an_error():
    p = pool()
    p.join(b"w", 0.0)
    ask(p, 0)
    (lease,) = taken(p.leases)
    p.answer(b"w", lease.epoch, [], 0.1)
    (outcome,) = taken(p.outcomes)
    assert outcome.kind is Kind.ERROR
    assert "0 answers to 1 requests" in outcome.note


def test_a_client_that_went_gets_nothing():
    p = pool()
    p.join(b"w", 0.0)
    ask(p, 0)
    (lease,) = taken(p.leases)
    p.forget(b"c")
    reply(p, lease, 0.1)
    assert not p.outcomes
    assert p.ledger.balance() == 0
    assert p.ledger.counts["abandoned"] == 1


def test_health_is_an_inference_answered_lately():
    p = pool(silence=math.inf)
    p.join(b"w", 0.0)
    assert p.healthy(0.1, within=10) == 0
    ask(p, 0)
    reply(p, taken(p.leases)[0], 0.1)
    assert p.healthy(5, within=10) == 1
    p.seen(b"w", 20.0)  # It lives, but has answered nothing for long.
    assert p.healthy(20, within=10) == 0


@pytest.mark.parametrize("config", [{"lease": 0}, {"max_open": -1}, {"silence": math.nan}])
def test_bad_bounds_are_refused(config):
    with pytest.raises(ValueError, match="must be positive"):
        PoolConfig(**config)


SCHEDULES = {
    "batch": lambda: Batch(4, 0.01),
    "immediate": Immediate,
    "max_time": lambda: MaxTime(4, 0.05),
    "frame_clock": FrameClock,
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("seed", range(5))
def test_every_request_has_exactly_one_outcome_whatever_happens(name, seed):
    """Workers die, stall, answer late, twice or wrongly; clients repeat themselves."""
    rng = random.Random(seed)
    p = Pool(SCHEDULES[name](), PoolConfig(lease=0.5, silence=1e9, max_leases=1000))
    now, fresh = 0.0, iter(range(10**6))
    leases, asked, outcomes = [], Counter(), Counter()
    numbers = Counter()

    def collect():
        leases.extend(taken(p.leases))
        for outcome in taken(p.outcomes):
            outcomes[outcome.request.client, outcome.request.number] += 1

    for _ in range(5000):
        now += rng.expovariate(100)
        event = rng.random()
        if event < 0.4:
            client = rng.choice((b"a", b"b", b"c"))
            key = client, numbers[client]
            numbers[client] += 1
            asked[key] += 1
            p.submit(Request(*key, frame=key[1], arrived=now), now)
        elif event < 0.45 and asked:
            key = rng.choice(list(asked))
            if not outcomes[key]:  # A client repeats only what has no answer yet.
                p.submit(Request(*key, frame=key[1], arrived=now), now)
        elif event < 0.55 and len(p.workers()) < 6:
            p.join(b"w%d" % next(fresh), now)
        elif event < 0.6 and p.workers():
            p.leave(rng.choice(p.workers()), now)
        elif leases:
            lease = leases[rng.randrange(len(leases))]
            if rng.random() < 0.8:
                leases.remove(lease)
            count = len(lease.requests) if rng.random() < 0.95 else rng.randrange(6)
            p.answer(lease.worker, lease.epoch, [(Kind.REPLY, "x")] * count, now)
        p.advance(now)
        collect()
        assert p.ledger.balance() == 0
    # Then all is well, and whatever is left is answered.
    for _ in range(500):
        now += 0.1
        p.join(b"w%d" % next(fresh), now)
        p.advance(now)
        collect()
        for lease in leases:
            reply(p, lease, now)
        leases.clear()
        collect()
    newest = {(client, count - 1) for client, count in numbers.items()}
    for key in asked:
        assert outcomes[key] == 1 or (outcomes[key] == 0 and key in newest), key
    assert p.ledger.balance() == 0
    assert p.ledger.open_requests() <= len(newest)


def test_a_turn_of_the_loop_does_not_look_at_every_worker(monkeypatch):
    """A thousand idle workers: one is asked for, and none is looked at before it may be silent."""
    p, asked, looks = pool(silence=3.0), [], []
    take, look = p.schedule.take, p._look
    monkeypatch.setattr(
        p.schedule, "take", lambda slot, *rest: asked.append(slot) or take(slot, *rest)
    )
    monkeypatch.setattr(p, "_look", lambda now: looks.append(now) or look(now))
    for worker in range(1000):
        p.join(b"%d" % worker, 0.0)
    for turn in range(100):
        p.advance(0.02 * turn)
    assert (len(asked), looks) == (100, [])
    assert p.wakeup(2.0) == 3.0
    for worker in range(999):
        p.seen(b"%d" % worker, 2.5)
    p.advance(3.0)
    assert (looks, p.workers()[-1], len(p.workers())) == ([3.0], b"998", 999)
    assert p.wakeup(3.0) == 5.5


def test_who_falls_silent_after_an_answer_is_gone_before_its_lease_would_have_been_over():
    p = pool(lease=10.0, silence=3.0)
    p.join(b"w", 0.0)
    p.advance(2.9)
    ask(p, 0, 2.9)
    (lease,) = taken(p.leases)
    p.advance(3.0)  # Looks, and would look again only when the lease is over.
    reply(p, lease, 3.5)
    assert p.wakeup(3.5) == 6.5
    p.advance(6.4)
    assert p.knows(b"w")
    p.advance(6.5)
    assert not p.knows(b"w")


def test_workers_that_differ_are_all_asked_for():
    """With phases a worker that has to wait keeps no other from its turn."""
    p = pool(MaxTime(2, initial=1.0))
    p.join(b"w0", 0.0)
    p.join(b"w1", 0.0)
    ask(p, 0, 0.0)
    ask(p, 1, 0.6)
    assert {lease.worker for lease in p.leases} == {b"w0", b"w1"}
