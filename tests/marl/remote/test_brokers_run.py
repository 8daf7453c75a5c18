"""A training run with several brokers, one of which is killed."""

from __future__ import annotations

import json
import time

import pytest

from marl.remote.driver import train_distributed
from tests.marl.remote.test_remote_run import CONFIG, Driver, books
from tests.transport.parts import until


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_broker_may_be_killed_and_its_clients_go_to_the_other(tmp_path):
    driver = Driver(tmp_path / "run", workers=2, actors=2, brokers=2)
    try:
        driver.go_on(5)
        for broker in ("broker-0", "broker-1"):
            before = driver.pids()[broker]
            driver.kill(broker)
            driver.go_on(10)
            until(lambda name=broker, old=before: driver.pids().get(name) not in (None, old))
            time.sleep(5)
        assert driver.end() < 10
    finally:
        driver.process.kill()
        driver.process.wait()
    assert books(driver.run_dir).counts["insertions"] > 0
    for broker in ("broker-0", "broker-1"):
        log = (driver.run_dir / "logs" / f"{broker}.log").read_text().splitlines()
        figures = json.loads(log[-1])
        assert figures["ledger_balance"] == 0
        assert figures["requests_reply"] > 0


def test_each_broker_needs_a_worker(tmp_path):
    with pytest.raises(ValueError, match="3 brokers need as many workers, got 2"):
        train_distributed(CONFIG, tmp_path / "run", workers=2, brokers=3, updates=1)
    assert not (tmp_path / "run").exists()
