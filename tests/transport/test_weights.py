from __future__ import annotations

import time

import numpy as np
import pytest

from transport.endpoints import find_endpoint
from transport.weights import Publisher, Subscriber


@pytest.fixture
def publisher(tmp_path):
    publisher = Publisher(tmp_path, beacon=0.05)
    yield publisher
    publisher.close()


@pytest.fixture
def subscriber(publisher, tmp_path):
    subscriber = Subscriber(find_endpoint(tmp_path, "weights"))
    yield subscriber
    subscriber.close()


def weights(version):
    return {"w": np.full((300, 300), version, np.float32), "b": np.full(3, version, np.float16)}


def holds(tensors, version):
    return all((tensor == version).all() for tensor in tensors.values()) and len(tensors) == 2


def test_versions_arrive(publisher, subscriber):
    for version in (1, 2, 7):
        publisher.publish(version, weights(version))
        got, tensors = subscriber.latest()
        assert got == version == subscriber.version
        assert holds(tensors, version)
    assert subscriber.poll() is None
    assert publisher.latest()[0] == 7


def test_who_comes_late_gets_the_newest(publisher, tmp_path):
    publisher.publish(3, weights(3))
    time.sleep(0.1)
    late = Subscriber(find_endpoint(tmp_path, "weights"))
    assert late.latest(timeout=30)[0] == 3
    late.close()


def test_who_slept_gets_the_newest(publisher, subscriber):
    publisher.publish(0, weights(0))
    subscriber.latest()
    for version in range(1, 60):  # Far more than the queue holds.
        publisher.publish(version, weights(version))
        time.sleep(0.005)
    deadline = time.monotonic() + 30
    while subscriber.version < 59 and time.monotonic() < deadline:
        newer = subscriber.poll()
        assert newer is None or holds(newer[1], newer[0])
        time.sleep(0.01)
    assert subscriber.version == 59


def test_who_missed_a_version_while_there_was_no_connection_catches_up(publisher, subscriber):
    """The newest went by unheard, and nothing newer comes."""
    publisher.publish(1, weights(1))
    subscriber.latest()
    publisher.publish(2, weights(2))
    while subscriber.poll() is None:
        time.sleep(0.01)
    subscriber.version = 1  # As if it had not been here.
    subscriber._asked = 0.0
    assert subscriber.latest(timeout=30)[0] == 2
    assert subscriber.counts["catch-ups"] >= 1


def test_a_new_publisher_may_begin_at_an_older_version(tmp_path):
    """One that was killed at version 9 goes on from its checkpoint of version 5."""
    first = Publisher(tmp_path, beacon=0.05)
    first.publish(9, weights(9))
    subscriber = Subscriber(find_endpoint(tmp_path, "weights"))
    assert subscriber.latest(timeout=30)[0] == 9
    first.close()
    second = Publisher(tmp_path, beacon=0.05)
    second.publish(5, weights(5))
    version, tensors = subscriber.latest(timeout=30)
    assert version == 5 == subscriber.version
    assert holds(tensors, 5)
    second.publish(6, weights(6))
    assert subscriber.latest(timeout=30)[0] == 6
    subscriber.close()
    second.close()


def test_published_tensors_may_change_afterwards(publisher, subscriber):
    tensors = weights(1)
    publisher.publish(1, tensors)
    tensors["w"][:] = 9
    assert holds(subscriber.latest()[1], 1)


def test_versions_ascend(publisher):
    publisher.publish(4, weights(4))
    with pytest.raises(ValueError, match="version 4 is not newer than 4"):
        publisher.publish(4, weights(4))
    with pytest.raises(ValueError, match="'w' has dtype"):
        publisher.publish(5, {"w": np.array(["a"])})
    assert publisher.latest()[0] == 4


def test_waiting_in_vain_is_a_timeout(subscriber):
    with pytest.raises(TimeoutError, match="no weights newer than version -1"):
        subscriber.latest(timeout=0.1)


@pytest.mark.timeout(30)
def test_a_folder_that_cannot_be_written_is_an_error_and_no_wait(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="weights"):
        Publisher(file / "run", address="tcp")


def test_a_publisher_that_has_ended_says_so(publisher, monkeypatch):
    monkeypatch.setattr(publisher, "_send", lambda topic: 1 / 0)
    publisher.publish(1, weights(1))
    publisher._thread.join(10)
    with pytest.raises(RuntimeError, match="nothing is published any more: division by zero"):
        publisher.publish(2, weights(2))


def test_an_address_that_cannot_be_bound_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="needs keys"):
        Publisher(tmp_path, address="tcp://0.0.0.0:0")
