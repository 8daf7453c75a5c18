"""Nested state to files and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from marl.runs.checkpoint import CheckpointStore
from marl.runs.state import flatten, unflatten


def nested() -> dict[str, object]:
    generator = np.random.default_rng(3)
    return {
        "counter": 12,
        "nothing": None,
        "empty": {},
        "weights": {"layer.0.bias": torch.arange(3.0), "step": torch.tensor(7.0)},
        "deep": {"er": {"flags": np.array([True, False]), "names": ["a", "b"]}, "none": None},
        "rng": generator.bit_generator.state,
        "room": np.zeros((3, 0), np.float32),
    }


def test_arrays_are_named_by_their_path() -> None:
    tensors, plain = flatten(nested())
    paths = {"weights/layer.0.bias", "weights/step", "deep/er/flags", "room"}
    assert tensors.keys() == paths
    assert plain["counter"] == 12
    assert plain["deep"] == {"er": {"names": ["a", "b"]}, "none": None}
    assert plain["weights"] == plain["empty"] == {}


def test_what_went_to_disk_comes_back(tmp_path: Path) -> None:
    state = nested()
    store = CheckpointStore(tmp_path)
    store.save(1, *flatten(state))
    found = unflatten(*store.load())
    assert found.keys() == state.keys()
    assert found["counter"] == 12
    assert found["nothing"] is None
    assert found["empty"] == {}
    assert found["deep"].keys() == {"er", "none"}
    assert found["deep"]["er"]["flags"].tolist() == [True, False]
    assert found["deep"]["er"]["names"] == ["a", "b"]
    np.testing.assert_array_equal(found["weights"]["layer.0.bias"], [0, 1, 2])
    assert found["weights"]["step"].shape == ()
    assert found["room"].shape == (3, 0)
    # Integers of 128 bits: the generator goes on where it was.
    one, two = np.random.default_rng(0), np.random.default_rng(3)
    one.bit_generator.state = found["rng"]
    assert one.random() == two.random()


def test_nothing_is_lost_in_memory_either() -> None:
    state = nested()
    found = unflatten(*flatten(state))
    assert found.keys() == state.keys()
    assert found["weights"]["step"] is state["weights"]["step"]  # type: ignore[index]
