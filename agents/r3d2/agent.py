"""The R3D2 agent: a language model, a network on top, and the tables of phrases between them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.core import Observations
from agents.r3d2.answers import AnswerSheets
from agents.r3d2.config import R3D2Config
from agents.r3d2.cores import Layout
from agents.r3d2.network import R3D2Network, Tables
from agents.r3d2.phrases import ActiveSet, Ids, Rows
from agents.r3d2.readers import TextReader, make_reader
from agents.r3d2.roles import RoleNetworks
from games.text import PAD, Phrasebook


class R3D2Agent(nn.Module):
    """Plays any game that speaks text; implements the ``Policy`` seam.

    The agent keeps an *active set* of phrases: those it has been told of (``admit``) or met. Their
    embeddings are the only thing the language model computes.

    Args:
        config: shape of the network.
        phrasebook: the sentences behind the ids.
        seed: of the initial weights.
    """

    def __init__(self, config: R3D2Config, phrasebook: Phrasebook, seed: int = 0) -> None:
        super().__init__()
        self.config, self.phrasebook = config, phrasebook
        self.version = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.reader = make_reader(config, phrasebook)
            make = RoleNetworks if config.roles else R3D2Network
            self.network = make(config, self.reader.width)
        self.memory_size = self.network.memory_size
        self.facts, self.choices = (ActiveSet(open=not phrasebook.closed) for _ in range(2))
        self.answers = AnswerSheets()
        self._tables: Tables | None = None
        self._tables_rows = self.rows
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.value.weight.device

    def admit(
        self,
        facts: Iterable[int] | Ids = (),
        choices: Iterable[int] | Ids = (),
        labels: Ids | None = None,
    ) -> None:
        """Adds phrases to the active set, so that tables hold a row for them.

        Args:
            facts: ids that may be observed.
            choices: ids that may be legal.
            labels: int16 [K, N], the answer sheet of a game, for the auxiliary head.
        """
        self.choices.add(choices)
        if self.facts.add(facts):
            self._assign_roles()
        if labels is not None and self.config.own_hand and self.answers.add(labels):
            self.forget()

    def reads(self, sentence: str) -> bool:
        """Whether a sentence it never met means something to it: one of words that it knows."""
        return isinstance(self.reader, TextReader) and self.reader.tokenizer.knows(sentence)

    def meet(self, facts: Ids, choices: Ids) -> bool:
        """Admits phrases that turn up for the first time.

        Args:
            facts: int16, ids that were observed (and PAD), of any shape.
            choices: int16, ids that were legal (and PAD), of any shape.

        Returns:
            whether there were any.

        Raises:
            ValueError: if an id is of no phrase.
        """
        met = False
        for active, ids in ((self.facts, facts), (self.choices, choices)):
            if not active.knows(ids):
                if ids.max() >= len(self.phrasebook):
                    self.phrasebook.catch_up()
                if not PAD <= ids.min() <= ids.max() < len(self.phrasebook):
                    raise ValueError(
                        f"ids {ids.min()} to {ids.max()} were observed, and the phrasebook has "
                        f"{len(self.phrasebook)} phrases: play with the phrasebook of the agent"
                    )
                met |= active.add(ids)
        if met:
            self._assign_roles()
        return met

    def _assign_roles(self) -> None:
        """Tells networks by role, if there are any, which facts the active set holds."""
        if isinstance(self.network, RoleNetworks):
            known = (self.phrasebook[int(id)] for id in self.facts.ids)
            self.network.assign(known, self.facts.size)

    @property
    def rows(self) -> Rows:
        """How the embeddings of the active set lie."""
        read = self.config.encoder != "paragraph"  # Whole paragraphs need no table of facts.
        return Rows(
            len(self.facts) if read else 0,
            len(self.choices),
            self.answers.size,
            self.facts.size if read else 0,
            self.choices.size,
        )

    def embed(self) -> Tensor:
        """Embeds the active set: [rows, width] as ``rows`` says, with gradients."""
        return self.rows.place(self._read(None))

    def embed_new(self, known: Tensor, before: Rows) -> Tensor:
        """Embeds what was admitted since, and nothing else.

        Args:
            known: embeddings as they lay ``before``; gradients run on into them.
            before: the rows as they were.

        Returns:
            those of the active set as it is: [rows, width].
        """
        return self.rows.place(self._read(before).to(known.dtype), known, before)

    def tables(self, embeddings: Tensor) -> Tables:
        """Maps the embeddings of the active set to tables, with gradients."""
        return self.network.tables(*embeddings.split(self.rows.sizes))

    def current(self) -> Tables:
        """The tables of the present weights, without gradients.

        They are kept until the weights change; what was admitted since they were last asked for is
        added to them.
        """
        rows, before = self.rows, self._tables_rows
        # Not inference mode, whose tensors may not be added to outside of it.
        with torch.inference_mode(False), torch.no_grad(), self.autocast():
            tables = self._tables
            if tables is None:
                tables = self.tables(self.embed())
            elif rows != before:
                tables = tables.grown(rows.fact_rows, rows.choice_rows)
                new = self._read(before).split(
                    [rows.facts - before.facts, rows.choices - before.choices]
                )
                tables.facts[before.facts : rows.facts] = self.network.fact(new[0])
                tables.choices[before.choices : rows.choices] = self.network.choice(new[1])
        # Only when they are whole: another thread may be looking.
        self._tables, self._tables_rows = tables, rows
        return tables

    def _read(self, before: Rows | None) -> Tensor:
        """Embeds the phrases in use, or those that were not ``before``: [n, width]."""
        facts, choices, labels = self.facts.ids, self.choices.ids, self.answers.ids
        if self.config.encoder == "paragraph":
            facts = facts[:0]
        if before:
            facts, choices, labels = facts[before.facts :], choices[before.choices :], labels[:0]
        ids = torch.from_numpy(np.concatenate([facts, choices, labels]).astype(np.int64))
        if isinstance(self.reader, TextReader):
            return self.reader(ids, standardise=before is None)
        return self.reader(ids.to(self.device))

    def inputs(self, ids: Ids, starts: NDArray[np.int64], counts: Ids) -> Tensor:
        """What the network reads of S observations; the same for every parameter version.

        Args:
            ids: int16, facts of all observations.
            starts: int64 [S], where each observation's facts begin in ``ids``.
            counts: int16 [S], how many there are.

        Returns:
            a multi-hot matrix, bfloat16 [S, P]; with the paragraph encoder, token ids [S, L].
        """
        if isinstance(self.reader, TextReader) and self.config.encoder == "paragraph":
            return self.reader.paragraphs(ids, starts, counts).to(self.device)
        hot = torch.zeros(len(starts), self.facts.size, dtype=torch.bfloat16)
        columns = self.facts.rows(len(self.phrasebook))
        _multi_hot(ids, starts, counts, columns, hot.view(torch.int16).numpy())
        return hot.to(self.device)

    def pool(self, inputs: Tensor, tables: Tables) -> Tensor:
        """Sums what the facts of each observation add to it: ``inputs`` -> [S, hidden].

        With networks by role, hidden is that of all of them and a mark; see ``RoleNetworks``.
        """
        if isinstance(self.reader, TextReader) and self.config.encoder == "paragraph":
            return self.network.fact(self.reader.read(inputs, (inputs != 0).sum(1)))
        # A dense product: matrix units do it many times faster than a gather of table rows.
        pooled = inputs.to(tables.facts.dtype) @ tables.facts
        if isinstance(self.network, RoleNetworks):
            pooled = torch.cat([pooled, self.network.mark(inputs).to(pooled.dtype)], 1)
        return pooled

    def legal(self, choices: Ids, counts: Ids) -> tuple[Tensor, Tensor]:
        """Rows of the choice table and which of them are legal: int64 and bool [S, C]."""
        width = int(counts.max(initial=1))
        rows = self.choices.rows(len(self.phrasebook))[choices[:, :width]]
        legal = np.arange(width) < counts[:, None]
        return (
            torch.from_numpy(np.where(legal, rows, 0).astype(np.int64)).to(self.device),
            torch.from_numpy(legal).to(self.device),
        )

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses greedily for B seats; see ``marl.core.Policy.act``."""
        with torch.inference_mode(), self.autocast():
            tables, state, after = self._look(observations, memory)
            rows, legal = self.legal(observations.choices, observations.choice_counts)
            q = self.network.relevance(state, tables, rows, legal).cpu().numpy()
        values = np.full(observations.choices.shape, -np.inf, np.float32)
        values[:, : q.shape[1]] = q
        return q.argmax(1), values, after.cpu().numpy()

    def remember(self, facts: Ids, counts: Ids, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        """What B seats remember after some own turns, in which nothing is chosen again.

        All turns are read at once; the same as ``act`` turn by turn, and many times faster.

        Args:
            facts: int16 [B, L, F], what was observed, the oldest first, padded.
            counts: int16 [B, L], how many facts there were; -1 for no turn.
            memory: float32 [B, memory_size], before the first of them.

        Returns:
            float32 [B, memory_size].
        """
        turns = counts >= 0
        lengths = turns.sum(1)
        after = memory.copy()
        self.meet(facts, facts[:0])
        for length in set(lengths.tolist()) - {0}:  # An LSTM's memory is that of the longest only.
            which = np.flatnonzero(lengths == length)
            here = turns & (lengths == length)[:, None]
            layout = Layout(lengths[which])
            with torch.inference_mode(), self.autocast():
                _, _, new = self._read_turns(facts[here], counts[here], layout, memory[which])
                after[which] = new.cpu().numpy()
        return after

    def believe(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """What the auxiliary head makes of B seats' observations.

        Args:
            observations: of each seat on its own turn.
            memory: float32 [B, memory_size], as it was before that turn.

        Returns:
            by answer sheet (see ``AnswerSheets``), float32 [B, K, N]: for each of K slots the
            probabilities of N answers.
        """
        with torch.inference_mode(), self.autocast():
            tables, state, _ = self._look(observations, memory)
            parts = self.answers.split(self.network.answers(state, tables))
            return [part.softmax(-1).cpu().numpy() for part in parts]

    def _look(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[Tables, Tensor, Tensor]:
        """Tables, recurrent states [B, hidden] and the memory after them."""
        self.meet(observations.facts, observations.choices)
        layout = Layout(np.ones(len(observations), np.int64))
        return self._read_turns(observations.facts, observations.fact_counts, layout, memory)

    def _read_turns(
        self, facts: Ids, counts: Ids, layout: Layout, memory: NDArray[np.float32]
    ) -> tuple[Tables, Tensor, Tensor]:
        """The same for packed turns, int16 [S, F] and [S], of which all phrases have been met."""
        tables = self.current()
        starts = np.arange(len(facts), dtype=np.int64) * facts.shape[1]
        inputs = self.inputs(facts.ravel(), starts, counts)
        x = self.network.perceive(self.pool(inputs, tables))
        writable = np.require(memory, np.float32, "W")  # what came over a wire is not
        before = torch.from_numpy(writable).to(self.device)
        state, after = self.network.recur(x, layout, before)
        return tables, state, after

    def load(self, version: int, tensors: Mapping[str, Any]) -> None:
        """Takes on published weights.

        Args:
            version: theirs.
            tensors: tensors or arrays by the names of ``state_dict()``; they are copied.

        Raises:
            ValueError: if the weights are of another shape of network.
        """
        try:
            self.load_state_dict(
                {k: v if isinstance(v, Tensor) else torch.tensor(v) for k, v in tensors.items()}
            )
        except RuntimeError as error:
            first = str(error).splitlines()[1:2] or [str(error)]
            raise ValueError(
                f"these weights do not fit {self.config}: {first[0].strip()} Load them with the "
                "agent configuration that was saved beside them"
            ) from error
        self.version = version
        self.forget()

    def forget(self) -> None:
        """Has the tables computed anew; to be called after weights were changed in place."""
        self._tables = None

    def __deepcopy__(self, memo: dict[int, Any]) -> R3D2Agent:
        """Copies everything but the phrasebook, which is shared: it may grow."""
        memo[id(self.phrasebook)] = self.phrasebook
        other = memo[id(self)] = type(self).__new__(type(self))
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other

    def spread_out(self) -> None:
        """Has the reader keep the phrases of the active set apart; before training begins."""
        if isinstance(self.reader, TextReader):
            phrases = np.concatenate([self.facts.ids, self.choices.ids]).astype(np.int64)
            self.reader.spread_out(torch.from_numpy(phrases))
        self.forget()

    @property
    def is_spread_out(self) -> bool:
        """Whether ``spread_out`` was done, or does nothing for such a reader."""
        return not isinstance(self.reader, TextReader) or self.reader.is_spread_out

    def calibrate(self) -> None:
        """Standardises phrases by these weights, where they were not reached by training."""
        with self.autocast():
            self.train()
            self.embed()
            self.eval()
        self._tables = None

    def phrases_state(self) -> dict[str, Any]:
        """Of an open phrasebook, its sentences and the active set; of a closed one, a checksum."""
        if self.phrasebook.closed:
            return {"checksum": self.reader.checksum}
        return {
            "book": list(self.phrasebook),
            "facts": self.facts.ids,
            "choices": self.choices.ids,
        }

    def load_phrases(self, state: Mapping[str, Any]) -> None:
        """Takes over a ``phrases_state()``: the same sentences under the same ids and rows.

        Raises:
            ValueError: if the phrasebook holds other sentences under these ids, or the weights were
                learned with other words.
        """
        if "checksum" in state and state["checksum"] != self.reader.checksum:
            raise ValueError(
                "these weights were learned with other words, or with the same in another order: "
                "play them with the version of the game that they were learned in"
            )
        if "book" in state:
            self.phrasebook.adopt(state["book"])
            self.facts, self.choices = ActiveSet(open=True), ActiveSet(open=True)
            self.admit(state["facts"], state["choices"])
            self.forget()

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bfloat16 where the processor has units for it, plain float32 elsewhere."""
        fast = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        if self.device.type == "cpu" and not fast():
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


@numba.njit(cache=True, nogil=True)
def _multi_hot(ids, starts, counts, columns, out):  # type: ignore[no-untyped-def]
    """Sets out[s, columns[id]] to the bits of bfloat16 1.0 for every fact of every observation."""
    for s in range(len(starts)):
        for k in range(starts[s], starts[s] + counts[s]):
            out[s, columns[ids[k]]] = 0x3F80
