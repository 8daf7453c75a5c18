"""The registry of a run, and where its parts listen."""

from __future__ import annotations

import pytest

from tests.transport.parts import Thread
from transport.binding import Binding, parse_binding
from transport.claim import Claim
from transport.door import RefusedError
from transport.endpoints import FileEndpoints
from transport.keys import load_client_keys, load_server_keys, make_keys
from transport.registry import BELIEVED, Registry, RemoteEndpoints, seen_from_outside

ROLES = ("pool", "pool-workers", "replay", "weights")


class Asked(Registry):
    """A registry that runs in a thread."""

    def run(self, stop):
        while not stop():
            self.poll(0.05)


def test_a_registry_tells_where_the_parts_are(tmp_path):
    """To whoever has a key; who listens everywhere is found where the registry was."""
    files = make_keys(tmp_path / "keys", ["alice"])
    server, alice = load_server_keys(tmp_path / "keys"), load_client_keys(files[1])
    with Claim(tmp_path) as claim:
        FileEndpoints(tmp_path).publish("pool", "tcp://127.0.0.1:7", "tcp://0.0.0.0:7")
        FileEndpoints(tmp_path).publish("replay", "tcp://127.0.0.1:8", "tcp://other.example:8")
        registry = Thread(
            lambda: Asked(tmp_path, "tcp://0.0.0.0:0", about={"actors": 3}, keys=server)
        )
        try:
            with RemoteEndpoints(registry.part.endpoint, alice, timeout=5.0) as endpoints:
                told = endpoints.published()
                assert told["pool"] == ("tcp://127.0.0.1:7", claim.life, BELIEVED)
                assert told["replay"].address == "tcp://other.example:8"
                assert endpoints.about() == {"actors": 3, "life": claim.life}
                FileEndpoints(tmp_path).remove("pool")
                assert "pool" not in endpoints.published()
            with (
                RemoteEndpoints(registry.part.endpoint, timeout=5.0) as endpoints,
                pytest.raises(RefusedError, match="wants a key"),
            ):
                endpoints.published()
        finally:
            registry.stop()


def test_a_registry_that_is_away_is_no_end(tmp_path):
    with RemoteEndpoints("tcp://127.0.0.1:9", timeout=0.2) as endpoints:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                endpoints.published()


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("tcp://0.0.0.0:5", "tcp://head:5"),
        ("tcp://[::]:5", "tcp://head:5"),
        ("tcp://10.0.0.1:5", "tcp://10.0.0.1:5"),
        ("tcp://other.example:5", "tcp://other.example:5"),
        ("ipc:///tmp/a:b", "ipc:///tmp/a:b"),
    ],
)
def test_who_listens_everywhere_is_found_where_one_asked(address, seen):
    assert seen_from_outside(address, "head") == seen


def test_one_address_is_enough_for_all_parts(tmp_path):
    make_keys(tmp_path, [])
    binding = parse_binding(
        ["tcp://0.0.0.0:5555", "pool=tcp://0.0.0.0:6000"], ROLES, host="head", keys=tmp_path
    )
    assert binding.address("registry") == "tcp://0.0.0.0:5555@head"
    assert binding.address("pool") == "tcp://0.0.0.0:6000@head"
    assert binding.address("weights") == "tcp://0.0.0.0:*@head"
    assert binding.is_open
    assert (
        load_client_keys(tmp_path / "clients" / "local.json").role == "host" if binding.own else 0
    )
    assert not Binding().is_open
    assert Binding().address("pool") == "ipc"
    assert Binding().own is Binding().server is None
    local = parse_binding(["tcp://127.0.0.1:5555"], ROLES, host="head", keys=None)
    assert local.address("registry") == "tcp://127.0.0.1:5555"  # Nobody else could reach it.


@pytest.mark.parametrize(
    ("bind", "words"),
    [
        ("tcp://0.0.0.0:5555", "needs keys"),
        ("cook=tcp://127.0.0.1:1", "no part is called 'cook': there are registry, pool"),
        ("127.0.0.1:1", "is not an address"),
        ("tcp://127.0.0.1:99999", "is not an address"),
    ],
)
def test_where_nobody_can_listen(bind, words):
    with pytest.raises(ValueError, match=words):
        parse_binding([bind], ROLES, host=None, keys=None)
