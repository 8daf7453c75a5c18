"""One run at a time in a folder, and addresses that carry its life."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

from transport import claim, sockets
from transport.claim import Claim, life_in
from transport.endpoints import find_endpoint


@pytest.fixture
def listener():
    with sockets.new_context() as context, sockets.new_socket(context, zmq.ROUTER) as socket:
        yield socket


def test_a_second_run_is_refused_at_once(tmp_path):
    with Claim(tmp_path / "run") as first:
        began = time.monotonic()
        with pytest.raises(ValueError, match=r"another run lives in .*run: stop it first"):
            Claim(tmp_path / "run")
        assert time.monotonic() - began < 1
        assert life_in(tmp_path / "run") == first.life
    with Claim(tmp_path / "run") as second:
        assert life_in(tmp_path / "run") == second.life != first.life


def test_a_claim_ends_with_its_process_however_that_ends(tmp_path):
    code = (
        "import os, signal; from pathlib import Path; from transport.claim import Claim\n"
        f"Claim(Path({str(tmp_path)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    Claim(tmp_path).close()


def test_processes_that_a_killed_run_has_left_are_waited_for(tmp_path, monkeypatch):
    first = Claim(tmp_path)
    command = [sys.executable, "-c", "input()"]
    left = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[first.inherited])
    first.close()
    monkeypatch.setattr(claim, "_GONE", 0.2)
    with pytest.raises(ValueError, match="another run lives in"):
        Claim(tmp_path)
    left.communicate(b"\n")
    Claim(tmp_path).close()


def test_who_claims_a_folder_hears_nothing_of_the_run_before(listener, tmp_path):
    """Moved and copied folders bring endpoints along, which may lead to a run that lives."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    with Claim(run):
        endpoint = sockets.bind(listener, "ipc", run_dir=run, role="pool")
        shutil.copytree(run, copy)
        with Claim(copy), pytest.raises(ValueError, match=r"no pool is published under .*copy"):
            find_endpoint(copy, "pool", timeout=0.05)
        assert find_endpoint(run, "pool") == endpoint
    assert find_endpoint(run, "pool") == endpoint  # Its own life, though it has ended.
    sockets.withdraw(run)
    with pytest.raises(ValueError, match="no pool is published"):
        find_endpoint(run, "pool", timeout=0.05)


def test_a_restart_needs_no_room_on_a_full_disk(listener, tmp_path, monkeypatch):
    endpoint = sockets.bind(listener, "ipc", run_dir=tmp_path, role="pool")
    listener.unbind(endpoint)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert sockets.bind(listener, "ipc", run_dir=tmp_path, role="pool") == endpoint
    with pytest.raises(ValueError, match=r"cannot publish other in .*other\.json: No space left"):
        sockets.bind(listener, "ipc", run_dir=tmp_path, role="other")
    monkeypatch.undo()
    assert find_endpoint(tmp_path, "pool") == endpoint
    sockets.withdraw(tmp_path)


def test_damaged_endpoints_are_none(tmp_path):
    file = tmp_path / "endpoints" / "pool.json"
    file.parent.mkdir()
    for content in ("", "[]", "5", '{"endpoint": "ipc:///x"}', '{"end'):
        file.write_text(content)
        with pytest.raises(ValueError, match="no pool is published"):
            find_endpoint(tmp_path, "pool", timeout=0.02)
