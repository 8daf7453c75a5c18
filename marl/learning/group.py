"""Several learners that take one step: each computes the gradients of its part of the batch.

The gradients are added up over all of them (``torch.distributed``: gloo on processors, nccl on
GPUs), and each then does the same arithmetic on the same sums, so weights stay equal to the bit.
One of them, rank 0, says when an update is made; the others *help*. What travels between them is
tensors: nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from safetensors.numpy import load, save
from torch import Tensor

UPDATE, STOP = 1, 2
"""What rank 0 says to those who help."""

_TIMEOUT = timedelta(minutes=30)  # For the longest pause between two updates: an evaluation.


class LearnerGoneError(RuntimeError):
    """One of those who learn together is not there any more."""


class Group(Protocol):
    """Who learns together.

    Attributes:
        rank: which of them this is.
        size: how many there are.
    """

    rank: int
    size: int

    def all(self, ready: bool) -> bool:
        """Whether all are."""
        ...

    def total(self, count: int) -> int:
        """The sum of everybody's count."""
        ...

    def add(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """The sums of everybody's tensors; None where nobody has one.

        Args:
            tensors: gradients of whatever is ``like``; None where there is none.
            like: of the same shapes.
        """
        ...


class Alone:
    """One learner."""

    rank, size = 0, 1

    def all(self, ready: bool) -> bool:
        """Whether it is."""
        return ready

    def total(self, count: int) -> int:
        """Its own."""
        return count

    def add(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """Its own."""
        return list(tensors)


class Learners:
    """Several learners, one a process.

    Args:
        rank: which of them this is.
        size: how many there are.
        address: where rank 0 waits for the others, ``tcp://HOST:PORT``, or ``env://`` for what
            ``torchrun`` has set.
        device: where their networks are.

    Raises:
        RuntimeError: if not all come in time; any call raises ``LearnerGoneError`` if one has gone.
    """

    def __init__(self, rank: int, size: int, address: str, device: str = "cpu") -> None:
        self.rank, self.size = rank, size
        self._device = torch.device(device)
        backend = "nccl" if self._device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, init_method=address, rank=rank, world_size=size, timeout=_TIMEOUT
        )

    def close(self) -> None:
        """Leaves; the others cannot go on."""
        dist.destroy_process_group()

    def all(self, ready: bool) -> bool:
        """Whether all are ready."""
        flag = self._tensor([int(ready)])
        self._reduce(flag, dist.ReduceOp.MIN)
        return bool(flag.item())

    def total(self, count: int) -> int:
        """The sum of everybody's count."""
        sums = self._tensor([count])
        self._reduce(sums)
        return int(sums.item())

    def add(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """The sums of everybody's tensors, in one message; None where nobody has one."""
        there = self._tensor([tensor is not None for tensor in tensors])
        self._reduce(there, dist.ReduceOp.MAX)
        used = there.bool().tolist()
        # In single precision: what is summed is to be the same whoever has computed it.
        parts = [
            (torch.zeros_like(shape) if tensor is None else tensor.detach()).float().reshape(-1)
            for tensor, shape, someone in zip(tensors, like, used, strict=True)
            if someone
        ]
        line = torch.cat(parts)
        self._reduce(line)
        sums = iter(line.split([len(part) for part in parts]))
        return [
            next(sums).view_as(shape).to(shape.dtype) if someone else None
            for shape, someone in zip(like, used, strict=True)
        ]

    def say(self, command: int) -> int:
        """Rank 0 says what is done next; the others hear it."""
        said = self._tensor([command])
        self._spread(said)
        return int(said.item())

    def share(self, tensors: Mapping[str, Any], plain: Mapping[str, Any]) -> Any:
        """Everybody gets what rank 0 has (see ``marl.runs.state``).

        Args:
            tensors: arrays or tensors by name; of the others, whatever.
            plain: values for JSON, likewise.

        Returns:
            the arrays and the values of rank 0.
        """
        arrays = {
            name: tensor.detach().cpu().numpy() if isinstance(tensor, Tensor) else tensor
            for name, tensor in tensors.items()
        }
        # Bytes of one machine's file format, as in a checkpoint.
        file = self._bytes(save({k: np.asarray(a, order="C") for k, a in arrays.items()}))
        return load(file), json.loads(self._bytes(json.dumps(plain).encode()))

    def _bytes(self, mine: bytes) -> bytes:
        size = self._tensor([len(mine)])
        self._spread(size)
        line = torch.empty(int(size.item()), dtype=torch.uint8)
        if self.rank == 0:
            line = torch.from_numpy(np.frombuffer(mine, np.uint8).copy())
        line = line.to(self._device)
        self._spread(line)
        return line.cpu().numpy().tobytes()

    def _reduce(self, tensor: Tensor, how: Any = dist.ReduceOp.SUM) -> None:
        with _together():
            dist.all_reduce(tensor, how)

    def _spread(self, tensor: Tensor) -> None:
        with _together():
            dist.broadcast(tensor, 0)

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Words the errors of what all of them have to do together."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise LearnerGoneError(f"another learner has gone: {first}") from error
