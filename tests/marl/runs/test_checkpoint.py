"""Checkpoints: exact, and whole whatever happens to the process or the disk.

Run as a script this file is the process that saves and is killed: it imports little and has one
thread, so that it can fork.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from marl.runs.checkpoint import CheckpointError, CheckpointStore

KILLS = 200


def contents(step: int) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """A payload that shows by itself which step it is of, of a size that differs by step."""
    size = 5_000 + 97 * (step % 200)
    tensors = {"a": np.full(size, step), "b": np.arange(size, dtype=np.uint64) * np.uint64(step)}
    return tensors, {"step": step, "size": size, "rng": step << 120}


def check(store: CheckpointStore) -> int:
    """Step of the latest checkpoint, once all of them are known to be whole and of one piece."""
    paths = sorted(path for path in store.folder.iterdir() if "-step-" in path.name)
    steps = [int(path.name.split("-")[-1]) for path in paths]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # having to fall back would be a failure here
        assert store.load()[1]["step"] == store.latest() == steps[-1]
        loaded = [store.load(step) for step in steps]
    for step, (tensors, meta) in zip(steps, loaded, strict=True):
        expected, expected_meta = contents(step)
        assert meta == expected_meta
        assert tensors.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(tensors[name], expected[name])
    return steps[-1]


def leftovers(store: CheckpointStore) -> int:
    return len(list(store.folder.glob(".tmp-*")))


def kill_at_random(store: CheckpointStore) -> dict[str, int]:
    """Kills a process that saves in a loop, again and again."""
    dice = random.Random(1)
    store.save(1, *contents(1))
    seen, interrupted = 1, 0
    for kill in range(KILLS):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            for step in range(seen + 1, seen + 10_000):
                store.save(step, *contents(step))
                os.write(writer, step.to_bytes(8, "little"))
            os._exit(0)
        os.close(writer)
        # Every other time only once something was saved, so that slow disks get on as well.
        reported = os.read(reader, 8) if kill % 2 else b""
        time.sleep(dice.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as pipe:
            reported += pipe.read()
        interrupted += leftovers(store) > 0
        step = check(store)
        # What was reported as saved is there, and at most one more was on its way.
        last = int.from_bytes(reported[-8:], "little") or seen
        assert last <= step <= last + 1, (last, step)
        seen = step
    store.save(seen + 1, *contents(seen + 1))
    assert leftovers(store) == 0
    return {"kills": KILLS, "interrupted": interrupted, "saved": seen}


def die_at(fatal: int) -> None:
    """Ends this process at its n-th call to the file system."""
    calls = 0

    def hook(event: str, _: object) -> None:
        nonlocal calls
        calls += event == "open" or event.startswith(("os.", "shutil."))
        if calls == fatal:
            os._exit(1)

    sys.addaudithook(hook)


def die_everywhere(store: CheckpointStore) -> dict[str, int]:
    """Dies at the first, the second, the third ... thing that ``save`` asks of the file system."""
    for step in (1, 2, 3):
        store.save(step, *contents(step))
    old = new = 0
    for fatal in range(1, 1000):
        before = check(store)
        child = os.fork()
        if child == 0:
            die_at(fatal)
            store.save(before + 1, *contents(before + 1))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        after = check(store)
        old, new = old + (after == before), new + (after == before + 1)
        if os.waitstatus_to_exitcode(status) == 0:
            break
    return {"points": fatal, "old": old, "new": new, "leftovers": leftovers(store)}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def run(mode: str, folder: Path) -> dict[str, int]:
    """Runs one of the functions above in a process of its own."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, __file__, mode, str(folder)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.chaos
@pytest.mark.timeout(300)  # seconds on a free disk; minutes on one that many flush to
def test_survives_being_killed_while_saving(tmp_path: Path) -> None:
    outcome = run("kill_at_random", tmp_path)
    assert outcome["kills"] == KILLS
    # The kills meant something: many fell into a save, and saves got done between them.
    assert outcome["interrupted"] > KILLS // 8
    assert outcome["saved"] > KILLS // 2


@pytest.mark.chaos
def test_survives_death_at_every_step_of_saving(tmp_path: Path) -> None:
    outcome = run("die_everywhere", tmp_path)
    assert outcome["points"] > 15
    assert outcome["old"] + outcome["new"] == outcome["points"]
    assert outcome["old"] > 5
    assert outcome["new"] > 2
    assert outcome["leftovers"] == 0


def test_every_dtype_and_number_comes_back(store: CheckpointStore) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        kind: np.frombuffer(rng.bytes(96), dtype=kind).reshape(2, -1)
        for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
    }
    tensors |= {
        "flags": rng.random((3, 5)) < 0.5,
        "empty": np.zeros((0, 7), np.float32),
        "scalar": np.array(2**64 - 1, np.uint64),
        "strided": rng.random((6, 4))[::2, ::-1].T,
        "name with spaces/and ünïcode": np.arange(3),
    }
    generator = np.random.Generator(np.random.PCG64(5))
    meta = {
        "rng": generator.bit_generator.state,
        "huge": -(3**500),
        "float": 0.1 + 0.2,
        "nested": [{"a": None, "b": [True, "ä"]}],
    }
    store.save(0, tensors, meta)
    loaded, loaded_meta = store.load()
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert loaded[name].tobytes() == tensor.tobytes()
    assert loaded_meta == meta
    expected = generator.random(4)
    generator.bit_generator.state = loaded_meta["rng"]
    np.testing.assert_array_equal(generator.random(4), np.random.default_rng(5).random(4))
    np.testing.assert_array_equal(expected, np.random.default_rng(5).random(4))


def test_torch_tensors_are_taken(store: CheckpointStore) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Linear(3, 4).weight
    store.save(1, {"weight": weight, "turned": weight.T, "rng": torch.get_rng_state()}, {})
    loaded, _ = store.load()
    assert torch.equal(torch.from_numpy(loaded["weight"]), weight)
    assert torch.equal(torch.from_numpy(loaded["turned"]), weight.T)
    torch.set_rng_state(torch.from_numpy(loaded["rng"]))
    with pytest.raises(ValueError, match="no bfloat16, which half is"):
        store.save(2, {"half": weight.bfloat16()}, {})
    assert store.latest() == 1


def test_the_last_saved_is_the_latest_and_old_ones_go(store: CheckpointStore) -> None:
    assert store.latest() is None
    # Resumed from step 20 the run goes on from there, and a step may be saved twice.
    for step in (10, 20, 30, 20, 25):
        store.save(step, *contents(step))
        assert check(store) == step
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "000003-step-30",
        "000004-step-20",
        "000005-step-25",
    ]
    assert store.load(30)[1]["step"] == 30
    with pytest.raises(FileNotFoundError, match="no checkpoint of step 10 in"):
        store.load(10)


def test_the_later_of_two_at_one_step_is_found(store: CheckpointStore) -> None:
    store.save(5, {}, {"which": "first"})
    store.save(5, {}, {"which": "second"})
    assert store.load(5) == ({}, {"which": "second"})


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["tensors.safetensors", "meta.json", "manifest.json"])
@pytest.mark.parametrize("damage", [flip, shorten, empty, Path.unlink])
def test_a_damaged_newest_gives_way_to_the_one_before(store, name, damage) -> None:  # type: ignore[no-untyped-def]
    store.save(1, *contents(1))
    newest = store.save(2, *contents(2))
    damage(newest / name)
    with pytest.warns(UserWarning, match=r"000002-step-2.*; falling back to the one before it"):
        tensors, meta = store.load()
    assert meta == contents(1)[1]
    np.testing.assert_array_equal(tensors["a"], contents(1)[0]["a"])
    with pytest.raises(CheckpointError, match="000002-step-2"):
        store.load(2)
    shutil.rmtree(store.folder / "000001-step-1")
    with pytest.raises(CheckpointError, match="000002-step-2"):
        store.load()
    store.save(3, *contents(3))
    assert store.load()[1] == contents(3)[1]


def test_every_flipped_bit_of_a_manifest_is_noticed(store: CheckpointStore) -> None:
    """Or else changes nothing that is loaded."""
    path = store.save(7, {"a": np.arange(3)}, {"b": 1}) / "manifest.json"
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(
            data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]
        )
        try:
            tensors, meta = store.load()
        except CheckpointError:
            continue
        np.testing.assert_array_equal(tensors["a"], np.arange(3))
        assert meta == {"b": 1}


def test_what_is_not_a_checkpoint_is_left_alone(store: CheckpointStore) -> None:
    store.folder.mkdir()
    (store.folder / "notes.txt").write_text("mine")
    (store.folder / "step-9").mkdir()
    (store.folder / "000009-step-9").mkdir()  # looks like one, and is not
    assert store.latest() is None
    for step in range(5):
        store.save(step, *contents(step))
    assert (store.folder / "notes.txt").exists()
    assert (store.folder / "step-9").exists()
    assert check(store) == 4


def test_a_failed_save_leaves_nothing(store: CheckpointStore, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    store.save(1, *contents(1))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.save(2, *contents(2))
    assert leftovers(store) == 0
    assert check(store) == 1


@pytest.mark.parametrize("most", [10_000, 100])
def test_what_finds_no_room_is_an_error_of_the_system_and_leaves_nothing(
    store: CheckpointStore, most: int
) -> None:
    """The library that writes tensors has errors of its own for it."""
    store.save(1, {}, {})
    code = (
        "import json, resource, sys; import numpy as np\n"
        "from marl.runs.checkpoint import CheckpointStore\n"
        f"store = CheckpointStore({str(store.folder)!r})\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n"
        "try:\n    store.save(2, {'a': np.zeros(4000)}, {})\n"
        "except OSError as error:\n    print(error.errno, error.filename)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    number, where = done.stdout.split()
    assert int(number) == errno.EFBIG, done.stderr
    assert where == str(store.folder / "000002-step-2")
    assert leftovers(store) == 0
    assert store.latest() == 1


def test_bad_values_are_refused(store: CheckpointStore) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint in"):
        store.load()
    with pytest.raises(ValueError, match="at least 1 checkpoint must be kept, got 0"):
        CheckpointStore("anywhere", keep=0)
    with pytest.raises(ValueError, match="cannot be negative, got -1"):
        store.save(-1, {}, {})
    for array in (np.array(["a"]), np.array([None]), np.zeros(2, np.complex128)):
        with pytest.raises(ValueError, match="numbers and booleans, wrong is"):
            store.save(1, {"wrong": array}, {})
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.save(1, {}, {"wrong": np.int64(1)})
    assert not store.folder.exists()


if __name__ == "__main__":
    modes = {"kill_at_random": kill_at_random, "die_everywhere": die_everywhere}
    print(json.dumps(modes[sys.argv[1]](CheckpointStore(sys.argv[2]))))
