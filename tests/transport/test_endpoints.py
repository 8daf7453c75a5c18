"""Finding the parts of a run: by files, by what a person wrote down, through a mirror."""

from __future__ import annotations

import time

import pytest
import zmq

from transport import sockets
from transport.claim import Claim
from transport.endpoints import (
    Endpoint,
    FileEndpoints,
    Mirror,
    StaticEndpoints,
    find_endpoint,
    read_peers,
)


def test_endpoints_of_another_life_are_nobodys(tmp_path):
    files = FileEndpoints(tmp_path)
    with Claim(tmp_path) as claim:
        files.publish("pool", "tcp://127.0.0.1:1")
        assert files.published() == {"pool": Endpoint("tcp://127.0.0.1:1", claim.life)}
    with Claim(tmp_path):
        assert files.published() == {}
        assert files.find("pool") is None
        assert files.former("pool") == "tcp://127.0.0.1:1"


def test_other_machines_read_what_is_advertised(tmp_path):
    with sockets.new_context() as context:
        socket = sockets.new_socket(context, zmq.ROUTER)
        address = sockets.bind(
            socket, "tcp://127.0.0.1:0@head.example", run_dir=tmp_path, role="pool"
        )
        socket.close()
    port = address.rpartition(":")[2]
    assert find_endpoint(tmp_path, "pool") == f"tcp://127.0.0.1:{port}"
    outside = FileEndpoints(tmp_path, outside=True).published()
    assert outside["pool"].address == f"tcp://head.example:{port}"


class Source:
    """Endpoints that come and go, of a source that may be away."""

    def __init__(self, **endpoints):
        self.endpoints, self.away = endpoints, False

    def published(self):
        if self.away:
            raise TimeoutError("nobody is there")
        return self.endpoints


def test_a_mirror_follows_its_source(tmp_path):
    source, target = Source(pool=Endpoint("tcp://a:1", "x", 60.0)), FileEndpoints(tmp_path)
    mirror = Mirror(source, target)
    mirror.update()
    assert find_endpoint(tmp_path, "pool") == "tcp://a:1"
    source.endpoints = {"pool": Endpoint("tcp://a:2", "y", 60.0)}
    mirror.update()
    assert find_endpoint(tmp_path, "pool") == "tcp://a:2"
    source.endpoints = {}
    mirror.update()
    assert target.published() == {}


def test_what_is_not_confirmed_expires(tmp_path):
    """By this machine's own clock: the source says only how many seconds are left."""
    source, target = Source(pool=Endpoint("tcp://a:1", "x", 0.2)), FileEndpoints(tmp_path)
    mirror = Mirror(source, target)
    mirror.update()
    source.away = True
    mirror.update()
    assert "pool" in target.published()  # A moment of silence is no end.
    time.sleep(0.25)
    heard = mirror.heard
    mirror.update()
    assert target.published() == {}
    assert mirror.heard == heard
    source.away = False
    mirror.update()
    assert "pool" in target.published()


def test_peers_are_written_down_by_role(tmp_path):
    toml, text = tmp_path / "peers.toml", tmp_path / "peers.json"
    toml.write_text('pool = "tcp://a:1"\nreplay = "tcp://a:2"\n')
    text.write_text('{"weights": "tcp://a:3"}')
    assert read_peers(["pool=tcp://b:1"], toml) == {"pool": "tcp://b:1", "replay": "tcp://a:2"}
    assert read_peers([], text) == {"weights": "tcp://a:3"}
    assert StaticEndpoints(read_peers([], text)).published()["weights"].address == "tcp://a:3"


@pytest.mark.parametrize(
    ("peers", "content", "words"),
    [
        (["pool"], None, "'pool' is no peer: write ROLE=ADDRESS"),
        (["pool=somewhere"], None, "pool has no address in 'somewhere'"),
        ([], "[", "is damaged"),
        ([], "[1]", "must be a table"),
        ([], '{"pool": 5}', "pool has no address in 5"),
    ],
)
def test_what_is_no_peer_is_refused(tmp_path, peers, content, words):
    file = None
    if content is not None:
        file = tmp_path / "peers.json"
        file.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_peers(peers, file)
    with pytest.raises(ValueError, match="cannot read peers"):
        read_peers([], tmp_path / "missing.toml")
