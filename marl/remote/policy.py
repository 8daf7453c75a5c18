"""The remote sides of the ``Policy`` and ``Weights`` seams: a pool that acts, weights that travel.

Whoever plays through a pool needs a few lines, and neither torch nor the agent::

    with connect("runs/pool") as policy:  # what `troupe serve` serves there
        result = evaluate(policy, setting, games=100, seed=1)

A worker of a pool is a process that holds weights and nothing else: the recurrent memory of every
seat travels with its request. (The remote side of ``Replay`` is in ``marl.remote.replay``.)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from games.core import BatchedGame
from games.text import MAX_PHRASES, PAD, Phrasebook
from marl.core import Policy
from transport.client import Client, ClientConfig
from transport.closing import Closing
from transport.connection import Published, Where
from transport.endpoints import FileEndpoints
from transport.keys import ClientKeys, load_client_keys
from transport.weights import Publisher
from transport.wire import Array, tensor_text, text_tensor
from transport.worker import Subscriber, Worker, WorkerConfig

FILL = {"facts": PAD, "choices": PAD, "past_facts": PAD, "past_counts": -1}
"""What narrower requests are padded with where several become one batch."""


def connect(
    where: str | Path | Sequence[str],
    *,
    keys: Path | None = None,
    name: str = "pool",
    config: ClientConfig | None = None,
) -> RemotePolicy:
    """A policy that plays through a pool; to be used, and closed, by the thread that connects.

    Args:
        where: the folder in which the pool publishes its endpoints, or an endpoint itself, such as
            ``tcp://host:5555``, or those of several of its brokers.
        keys: a client's file of keys, for a pool that other machines can reach.
        name: the pool's, where a folder is given.
        config: how long to wait, and how often to repeat.

    Raises:
        ValueError: if there is no such pool, or the keys are none.
        TimeoutError: if nobody answers.
    """
    pool: Where
    if isinstance(where, Path) or (isinstance(where, str) and "://" not in where):
        pool = Published(Path(where), name)
    else:
        pool = where
    client_keys = None if keys is None else load_client_keys(keys)
    return RemotePolicy(Client(pool, config=config, keys=client_keys))


@runtime_checkable
class Remembering(Protocol):
    """A policy that can read what was observed, without choosing (``R3D2Agent.remember``)."""

    def remember(
        self, facts: NDArray[np.int16], counts: NDArray[np.int16], memory: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Memory float32 [B, M] after facts int16 [B, L, F], counts int16 [B, L] (-1: no turn)."""
        ...


class RemotePolicy(Closing):
    """The remote side of the ``Policy`` seam; belongs to the thread that made it.

    Args:
        client: of the pool; closed with this policy.

    Attributes:
        memory_size: floats of recurrent memory of a seat.
        version: version of the weights that answered last.
        phrasebook: the sentences that the pool's agent knows.
        about: what is served, as the pool tells it (agent, games).

    Raises:
        TimeoutError: if the pool has no worker in time.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        try:
            description = client.describe()
        except BaseException:
            client.close()
            raise
        self.version = 0
        self.memory_size = int(description["memory_size"])
        self.phrasebook = Phrasebook(tensor_text(description["phrases"]).split("\n"))
        self.about: dict[str, Any] = json.loads(tensor_text(description["about"]))

    def close(self) -> None:
        """Leaves the pool."""
        self.client.close()

    def require(self, phrasebook: Phrasebook) -> None:
        """Makes sure that a run and the pool mean the same by an id.

        Args:
            phrasebook: the run's; one that grows is shared with the pool, which may have told of it
                when it was shorter.

        Raises:
            ValueError: if they do not.
        """
        phrasebook.catch_up()
        ours = list(phrasebook)
        if not phrasebook.closed and ours[: len(self.phrasebook)] == list(self.phrasebook):
            self.phrasebook = phrasebook
        if ours != list(self.phrasebook):
            raise ValueError(
                f"the pool plays {', '.join(self.about.get('games', []))}, whose sentences are not "
                "those of this run: connect to a pool that serves it"
            )

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses greedily for B seats; see ``marl.core.Policy.act``. What it returns is read-only.

        Raises:
            RemoteError: if the pool gave the request up.
            TimeoutError: if no answer came in time.
        """
        reply = self.client.call(request(observations, memory))
        self.version = reply.version
        answer = reply.tensors
        rows, most = observations.choices.shape
        values = np.full((rows, most), -np.inf, np.float32)
        # The answer is as wide as the widest row of its batch, which others may have filled.
        width = min(most, answer["values"].shape[1])
        values[:, :width] = answer["values"][:, :width]
        return answer["choices"], values, answer["memory"]


def request(
    observations: Observations,
    memory: NDArray[np.float32],
    past: Sequence[Observations] = (),
) -> dict[str, Array]:
    """What travels to a worker: the observations as they are, less the padding, and the memory.

    Args:
        observations: of B seats.
        memory: float32 [B, memory_size], theirs.
        past: what the same seats observed since that memory, the oldest first. The worker brings
            the memory up to date by it, so that it is as new as the observations.
    """
    facts, choices = observations.fact_counts, observations.choice_counts
    tensors: dict[str, Array] = {
        "facts": observations.facts[:, : int(facts.max(initial=0))],
        "fact_counts": facts,
        "choices": observations.choices[:, : int(choices.max(initial=0))],
        "choice_counts": choices,
        "memory": memory,
    }
    if past:
        counts = np.stack([turn.fact_counts for turn in past], 1)
        read = np.stack([turn.facts for turn in past], 1)
        tensors |= {"past_facts": read[:, :, : int(counts.max(initial=0))], "past_counts": counts}
    return tensors


def infer(policy: Policy, phrases: int, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Answers a ``request``, once all that could do harm is ruled out.

    Args:
        policy: who answers.
        phrases: how many sentences it knows.
        tensors: the request, as it came over the wire.

    Raises:
        ValueError: if it is none, or names a phrase that there is not.
    """
    try:
        facts, fact_counts, choices, choice_counts, memory = (
            tensors[name] for name in ("facts", "fact_counts", "choices", "choice_counts", "memory")
        )
    except KeyError as error:
        raise ValueError(f"a request needs a tensor {error}") from None
    rows = len(memory) if memory.ndim else 0
    for name, ids, counts, least in (
        ("facts", facts, fact_counts, 0),
        ("choices", choices, choice_counts, 1),
    ):
        if ids.dtype != np.int16 or ids.ndim != 2 or len(ids) != rows:
            raise ValueError(f"{name} must be int16 [{rows}, n], got {ids.dtype} {ids.shape}")
        if counts.dtype != np.int16 or counts.shape != (rows,):
            raise ValueError(f"{name} need int16 [{rows}] counts, got {counts.dtype}")
        if counts.size and not least <= counts.min() <= counts.max() <= ids.shape[1]:
            raise ValueError(f"counts of {name} must lie between {least} and {ids.shape[1]}")
        if ids.size and not PAD <= ids.min() <= ids.max() < phrases:
            raise ValueError(f"{name} must be ids below {phrases}, or {PAD}")
    if memory.dtype != np.float32 or memory.shape != (rows, policy.memory_size):
        raise ValueError(
            f"memory must be float32 [{rows}, {policy.memory_size}], "
            f"got {memory.dtype} {memory.shape}"
        )
    if "past_facts" in tensors and policy.memory_size:
        memory = _catch_up(policy, phrases, tensors, memory)
    chosen, values, after = policy.act(
        Observations(facts, fact_counts, choices, choice_counts), memory
    )
    return {"choices": chosen, "values": values, "memory": after}


def _catch_up(
    policy: Policy, phrases: int, tensors: Mapping[str, Array], memory: Array
) -> NDArray[np.float32]:
    """The memory after what was observed since.

    Raises:
        ValueError: if that is damaged, or the policy cannot remember without choosing.
    """
    facts, counts = tensors["past_facts"], tensors.get("past_counts", np.zeros(0))
    fits = facts.dtype == counts.dtype == np.int16 and facts.ndim == 3
    if not fits or facts.shape[:2] != counts.shape or len(facts) != len(memory):
        raise ValueError(
            f"past_facts must be int16 [{len(memory)}, turns, n] with int16 counts, got "
            f"{facts.dtype} {facts.shape}, {counts.dtype} {counts.shape}"
        )
    if counts.size and not -1 <= counts.min() <= counts.max() <= facts.shape[2]:
        raise ValueError(f"past_counts must lie between -1 and {facts.shape[2]}")
    if facts.size and not PAD <= facts.min() <= facts.max() < phrases:
        raise ValueError(f"past_facts must be ids below {phrases}, or {PAD}")
    if not isinstance(policy, Remembering):
        raise ValueError("this agent's memory is changed by choosing: send no past_facts")
    return policy.remember(facts, counts, memory.astype(np.float32))


def serve_policy(
    policy: Policy,
    phrasebook: Phrasebook,
    run_dir: Path,
    stop: Callable[[], bool],
    *,
    number: int = 0,
    about: Mapping[str, Any] | None = None,
    weights: Subscriber | None = None,
    load: Callable[[int, Mapping[str, Any]], None] | None = None,
    keys: ClientKeys | None = None,
) -> None:
    """Serves a policy as a worker of the pool in ``run_dir``, until ``stop()``.

    Args:
        policy: who answers.
        phrasebook: the sentences that it knows.
        run_dir: where the pool publishes its endpoints.
        stop: asked several times a second.
        number: the worker's.
        about: plain values that tell clients what is served.
        weights: where newer weights come from, if they do; they are taken between requests.
        load: takes them.
        keys: the worker's keys, if the pool has any.
    """
    description = {
        "memory_size": np.array(policy.memory_size),
        "phrases": text_tensor("\n".join(phrasebook)),
        "about": text_tensor(json.dumps(dict(about or {}), sort_keys=True)),
    }
    worker = Worker(
        partial(infer, policy, len(phrasebook) if phrasebook.closed else MAX_PHRASES),
        WorkerConfig(run_dir, number=number, fill=FILL),
        description=description,
        weights=weights,
        load=load,
        keys=keys,
    )
    worker.version = policy.version
    try:
        worker.run(stop)
    finally:
        worker.close()


def serve_agent(
    run_dir: Path,
    number: int,
    stop: Callable[[], bool],
    *,
    agent: str,
    device: str = "cpu",
    threads: int = 1,
    keys: str | None = None,
) -> None:
    """A worker process that serves an agent of the roster (see ``transport.launch``).

    Args:
        run_dir: where the pool publishes its endpoints.
        number: the worker's.
        stop: asked several times a second.
        agent: whatever ``marl.runs.roster.load`` accepts.
        device: where it runs.
        threads: of torch.
        keys: the worker's file of keys.
    """
    import torch

    from agents.r3d2.agent import R3D2Agent
    from marl.acting.table import admit
    from marl.runs.roster import load

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    member = load(agent, device)
    config = member.config
    playing = [setting.batched(1) for setting in config.settings()]
    if isinstance(member.policy, R3D2Agent):
        for game in playing:
            admit(member.policy, game)
    warm_up(member.policy, playing[0])
    book = member.policy.phrasebook
    assert book is not None
    serve_policy(
        member.policy,
        book,
        run_dir,
        stop,
        number=number,
        about={
            "agent": member.name,
            "games": config.games,
        },
        keys=None if keys is None else load_client_keys(Path(keys)),
    )


def warm_up(policy: Policy, game: BatchedGame) -> None:
    """Lets a policy act once, so that what is compiled and computed once is there."""
    tensors = question(policy, game)
    for tensor in tensors.values():
        tensor.flags.writeable = False  # As it comes over the wire: compiled code tells them apart.
    infer(policy, phrases(policy), tensors)


def question(policy: Policy, game: BatchedGame) -> dict[str, Array]:
    """A request that can be answered: what the due seats of a game observe."""
    from marl.acting.table import observe_as

    observations = observe_as(policy, game)
    memory = np.zeros((len(observations), policy.memory_size), np.float32)
    return {name: np.array(tensor) for name, tensor in request(observations, memory).items()}


def phrases(policy: Policy) -> int:
    """How many sentences a policy may be asked about; as many as ids can name, if it reads any."""
    book = policy.phrasebook
    # Of a book that grows, the policy itself says which there are.
    return len(book) if book is not None and book.closed else MAX_PHRASES


class PublishedWeights:
    """The remote side of the ``Weights`` seam for who learns; its followers are ``Subscriber``s.

    Args:
        run_dir: where the endpoint is published.
        options: further arguments of ``transport.weights.Publisher``.
    """

    def __init__(self, run_dir: Path, **options: Any) -> None:
        self._publisher = Publisher(run_dir, **options)

    def publish(self, version: int, tensors: Mapping[str, Any]) -> None:
        """Makes a new version the latest, here and for all followers; tensors are copied."""
        self._publisher.publish(version, {name: as_array(t) for name, t in tensors.items()})

    def latest(self) -> tuple[int, Mapping[str, Any]]:
        """The newest version (-1: none yet) and its arrays."""
        return self._publisher.latest()

    def close(self) -> None:
        """Stops publishing."""
        self._publisher.close()


def as_array(tensor: Any) -> Array:
    """A tensor, wherever it is, as an array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    return np.asarray(tensor)


def wait_for(run_dir: Path, role: str, stop: Callable[[], bool]) -> str | None:
    """The endpoint of a role, however long it takes; None if this process is to stop first."""
    while not stop():
        if (address := FileEndpoints(run_dir).address(role)) is not None:
            return address
        time.sleep(0.05)
    return None
