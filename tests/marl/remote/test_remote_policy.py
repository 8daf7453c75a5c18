"""The remote sides of the Policy and Weights seams, over real sockets."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import games
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from games.text import PAD, Phrasebook
from marl.acting.evaluate import evaluate
from marl.acting.table import observe
from marl.remote.policy import (
    FILL,
    PublishedWeights,
    connect,
    infer,
    request,
    serve_policy,
    wait_for,
    warm_up,
)
from tests.transport.parts import Thread
from transport.broker import Broker, BrokerConfig
from transport.client import ClientConfig, RemoteError
from transport.door import RefusedError
from transport.endpoints import find_endpoint
from transport.keys import load_client_keys, load_server_keys, make_keys
from transport.schedules import Batch
from transport.weights import Subscriber
from transport.worker import run_rows

SETTING = "hanabi:2@very-small"
ABOUT = {"agent": "test", "games": [SETTING]}


def new_agent(seed=0):
    game = new_game(1)
    agent = R3D2Agent(R3D2Config(hidden=16, memory=16, text_hidden=32), game.phrasebook, seed)
    agent.admit(game.fact_phrases, game.choice_phrases)
    return agent


def new_game(n, seed=0):
    return games.batched(SETTING, n, seed)


class Served:
    """A worker, in the manner of ``tests.transport.parts``."""

    def __init__(self, policy, run_dir, **options):
        self.policy, self.run_dir, self.options = policy, run_dir, options

    def run(self, stop):
        book = new_game(1).phrasebook
        serve_policy(self.policy, book, self.run_dir, stop, about=ABOUT, **self.options)

    def close(self):
        pass


@pytest.fixture
def pool(tmp_path):
    """Starts a broker and a worker; stops them at the end."""
    threads = []

    def start(policy, **options):
        threads.append(Thread(lambda: Broker(Batch(), BrokerConfig(tmp_path))))
        threads.append(Thread(lambda: Served(policy, tmp_path, **options)))
        return tmp_path

    yield start
    for thread in reversed(threads):
        thread.stop()


def test_the_same_moves_as_in_this_process(pool):
    agent = new_agent()
    run_dir = pool(agent)
    local = evaluate(new_agent(), games.setting(SETTING), 40, seed=3)
    with connect(run_dir, config=ClientConfig(timeout=30)) as policy:
        remote = evaluate(policy, games.setting(SETTING), 40, seed=3)
    for name in local.scoring:
        np.testing.assert_array_equal(local.outcome(name), remote.outcome(name))
    np.testing.assert_array_equal(local.played.turns, remote.played.turns)


def test_choices_values_and_memory_are_those_of_the_agent(pool):
    agent, game = new_agent(), new_game(6)
    run_dir = pool(agent)
    memory = np.random.default_rng(0).normal(size=(6, agent.memory_size)).astype(np.float32)
    with connect(run_dir) as policy:
        assert policy.memory_size == agent.memory_size
        assert policy.about == ABOUT
        for ours, theirs in zip(
            new_agent().act(observe(game), memory), policy.act(observe(game), memory), strict=True
        ):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_a_pool_and_a_game_must_mean_the_same(pool):
    with connect(pool(new_agent())) as policy:
        policy.require(new_game(1).phrasebook)
        with pytest.raises(ValueError, match=r"plays hanabi:2@very-small, whose sentences"):
            policy.require(Phrasebook(["something else"]))


def test_requests_of_several_clients_become_one_batch():
    """What each gets back does not depend on who was in the batch with it."""
    agent = new_agent()
    early, late = new_game(3), new_game(5, seed=9)
    for _ in range(4):
        late.step(np.zeros(5, int))
    requests = [
        {name: np.array(tensor) for name, tensor in request(observe(game), memory).items()}
        for game, memory in (
            (early, np.zeros((3, agent.memory_size), np.float32)),
            (late, np.ones((5, agent.memory_size), np.float32)),
        )
    ]
    assert requests[0]["facts"].shape[1] != requests[1]["facts"].shape[1]

    def answer(tensors):
        return infer(agent, len(early.phrasebook), tensors)

    together = run_rows(answer, requests, FILL)
    for alone, one in zip(map(answer, requests), together, strict=True):
        np.testing.assert_array_equal(alone["choices"], one["choices"])
        np.testing.assert_allclose(alone["memory"], one["memory"], atol=1e-2)


def good_request(agent):
    game = new_game(2)
    return dict(request(observe(game), np.zeros((2, agent.memory_size), np.float32)))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: t.pop("memory"), "needs a tensor 'memory'"),
        (lambda t: t.update(facts=t["facts"].astype(np.int32)), "facts must be int16"),
        (lambda t: t.update(facts=t["facts"][:1]), r"facts must be int16 \[2, n\]"),
        (lambda t: t.update(facts=np.full((2, 99), 32000, np.int16)), "ids below"),
        (lambda t: t.update(choices=np.full((2, 99), -2, np.int16)), "ids below"),
        (lambda t: t.update(fact_counts=np.full(2, 999, np.int16)), "counts of facts must lie"),
        (lambda t: t.update(fact_counts=np.full(2, -1, np.int16)), "counts of facts must lie"),
        (lambda t: t.update(choice_counts=np.zeros(2, np.int16)), "counts of choices must lie"),
        (lambda t: t.update(choice_counts=np.ones(3, np.int16)), "choices need int16"),
        (lambda t: t.update(memory=np.zeros((2, 3), np.float32)), r"memory must be float32 \[2, "),
        (lambda t: t.update(memory=t["memory"].astype(float)), "got float64"),
        (lambda t: t.update(memory=np.float32(1)), r"must be int16 \[0, n\]"),
    ],
)
def test_a_request_that_could_do_harm_is_refused(damage, words):
    agent = new_agent()
    tensors = good_request(agent)
    assert len(infer(agent, len(agent.phrasebook), tensors)["choices"]) == 2
    damage(tensors)
    with pytest.raises(ValueError, match=words):
        infer(agent, len(agent.phrasebook), tensors)


def test_a_bad_request_is_told_and_the_pool_goes_on(pool):
    agent, game = new_agent(), new_game(2)
    with connect(pool(agent)) as policy:
        good = observe(game)
        memory = np.zeros((2, agent.memory_size), np.float32)
        with pytest.raises(RemoteError, match="ids below"):
            policy.act(replace(good, facts=np.full_like(good.facts, 32000)), memory)
        assert policy.act(good, memory)[0].shape == (2,)


def test_workers_take_newer_weights_between_requests(pool, tmp_path):
    agent, newer, game = new_agent(0), new_agent(1), new_game(4)
    weights = PublishedWeights(tmp_path, beacon=0.05)
    weights.publish(3, agent.state_dict())
    subscriber = Subscriber(find_endpoint(tmp_path, "weights"))
    agent.load(*subscriber.latest())
    memory = np.zeros((4, agent.memory_size), np.float32)
    with connect(pool(agent, weights=subscriber, load=agent.load)) as policy:
        policy.act(observe(game), memory)
        assert policy.version == 3
        weights.publish(8, newer.state_dict())
        for _ in range(2000):
            _, values, _ = policy.act(observe(game), memory)
            if policy.version == 8:
                break
        assert policy.version == 8
        np.testing.assert_array_equal(values, newer.act(observe(game), memory)[1])
    version, tensors = weights.latest()
    assert version == 8
    assert all(torch.equal(torch.tensor(tensors[k]), v) for k, v in newer.state_dict().items())
    weights.close()
    subscriber.close()


def test_a_keyed_pool_lets_in_who_has_a_key(tmp_path):
    make_keys(tmp_path / "keys", ["worker"], "worker")
    make_keys(tmp_path / "keys", ["player"])
    clients = tmp_path / "keys" / "clients"
    config = BrokerConfig(tmp_path, address="tcp", workers_address="tcp")
    broker = Thread(lambda: Broker(Batch(), config, load_server_keys(tmp_path / "keys")))
    worker = Thread(
        lambda: Served(new_agent(), tmp_path, keys=load_client_keys(clients / "worker.json"))
    )
    try:
        endpoint = find_endpoint(tmp_path, "pool")
        with connect(endpoint, keys=clients / "player.json") as policy:
            game = new_game(2)
            memory = np.zeros((2, policy.memory_size), np.float32)
            assert len(policy.act(observe(game), memory)[0]) == 2
        with pytest.raises(RefusedError, match="the server wants a key"):
            connect(endpoint)
    finally:
        worker.stop()
        broker.stop()


def test_a_pool_that_is_not_there(tmp_path):
    assert wait_for(tmp_path, "pool", stop=iter([False, True]).__next__) is None


def test_who_plays_over_a_pool_needs_no_torch():
    code = (
        "import sys, marl.remote.policy; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_a_warm_up_compiles_for_what_comes_over_a_wire():
    agent = new_agent()
    warm_up(agent, new_game(1))
    assert agent._tables is not None


def test_padding_is_no_phrase():
    agent = new_agent()
    tensors = good_request(agent)
    wide = np.full((2, tensors["facts"].shape[1] + 5), PAD, np.int16)
    wide[:, :-5] = tensors["facts"]
    narrow = infer(agent, len(agent.phrasebook), tensors)
    padded = infer(agent, len(agent.phrasebook), {**tensors, "facts": wide})
    np.testing.assert_array_equal(narrow["values"], padded["values"])
