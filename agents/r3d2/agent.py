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
from torch.nn import functional as F

from agents.core import Observations
from agents.r3d2.config import R3D2Config
from agents.r3d2.encoder import Bert, BertConfig
from agents.r3d2.network import R3D2Network, Tables
from agents.r3d2.tokenizer import WordPiece
from games.text import PAD, Phrasebook

Ids = NDArray[np.int16]

WHITENING_DAMP = 1e-3


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
            self.reader = _make_reader(config, phrasebook)
            self.network = R3D2Network(config, self.reader.width)
        self.memory_size = self.network.memory_size
        self.facts, self.choices = ActiveSet(), ActiveSet()
        self.labels: Ids = np.zeros((0, 0), np.int16)
        self._tables: Tables | None = None
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.value.weight.device

    def admit(
        self, facts: Iterable[int] = (), choices: Iterable[int] = (), labels: Ids | None = None
    ) -> None:
        """Adds phrases to the active set, so that tables hold a row for them.

        Args:
            facts: ids that may be observed.
            choices: ids that may be legal.
            labels: int16 [K, N], the phrases among which the auxiliary head answers.
        """
        changed = self.facts.add(facts) | self.choices.add(choices)
        # Settings differ in the size of a hand; the answers of a smaller one are among a larger's.
        if labels is not None and self.config.own_hand and labels.size > self.labels.size:
            self.labels, changed = labels, True
        if changed:
            self._tables = None

    def meet(self, facts: Ids, choices: Ids) -> bool:
        """Admits phrases that turn up for the first time.

        Args:
            facts: int16, ids that were observed (and PAD), of any shape.
            choices: int16, ids that were legal (and PAD), of any shape.

        Returns:
            whether there were any.
        """
        for active, ids in ((self.facts, facts), (self.choices, choices)):
            if not _all_known(ids.ravel(), active.columns(self.phrasebook)):
                self.admit(facts[facts != PAD].tolist(), choices[choices != PAD].tolist())
                return True
        return False

    def embed(self) -> Tensor:
        """Embeds the active set: [facts + choices + labels, width], with gradients."""
        facts = self.facts.ids[:0] if self.config.encoder == "paragraph" else self.facts.ids
        ids = np.concatenate([facts, self.choices.ids, self.labels.ravel()]).astype(np.int64)
        return self.reader(torch.from_numpy(ids).to(self.device))

    def tables(self, embeddings: Tensor) -> Tables:
        """Maps the embeddings of the active set to tables, with gradients."""
        labels = self.labels.size
        choices = len(self.choices.ids)
        rows = [len(embeddings) - choices - labels, choices, labels]
        facts, choice, label = embeddings.split(rows)
        return self.network.tables(facts, choice, label.unflatten(0, self.labels.shape or (0, 0)))

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
        hot = torch.zeros(len(starts), len(self.facts.ids), dtype=torch.bfloat16)
        columns = self.facts.columns(self.phrasebook)
        _multi_hot(ids, starts, counts, columns, hot.view(torch.int16).numpy())
        return hot.to(self.device)

    def pool(self, inputs: Tensor, tables: Tables) -> Tensor:
        """Sums what the facts of each observation add to it: ``inputs`` -> [S, hidden]."""
        if isinstance(self.reader, TextReader) and self.config.encoder == "paragraph":
            return self.network.fact(self.reader.read(inputs, (inputs != 0).sum(1)))
        # A dense product: matrix units do it many times faster than a gather of table rows.
        return inputs.to(tables.facts.dtype) @ tables.facts

    def legal(self, choices: Ids, counts: Ids) -> tuple[Tensor, Tensor]:
        """Rows of the choice table and which of them are legal: int64 and bool [S, C]."""
        width = int(counts.max(initial=1))
        rows = self.choices.columns(self.phrasebook)[choices[:, :width]]
        legal = np.arange(width) < counts[:, None]
        return (
            torch.from_numpy(np.where(legal, rows, 0).astype(np.int64)).to(self.device),
            torch.from_numpy(legal).to(self.device),
        )

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses greedily for B seats; see ``marl.core.Policy.act``."""
        self.meet(observations.facts, observations.choices)
        with torch.inference_mode(), self.autocast():
            if self._tables is None:
                self._tables = self.tables(self.embed())
            facts = observations.facts
            starts = np.arange(len(facts), dtype=np.int64) * facts.shape[1]
            inputs = self.inputs(facts.ravel(), starts, observations.fact_counts)
            x = self.network.perceive(self.pool(inputs, self._tables))[None]
            writable = np.require(memory, np.float32, "W")  # what came over a wire is not
            state, after = self.network.recur(x, torch.from_numpy(writable).to(self.device))
            rows, legal = self.legal(observations.choices, observations.choice_counts)
            q = self.network.relevance(state[0], self._tables, rows, legal).cpu().numpy()
        values = np.full(observations.choices.shape, -np.inf, np.float32)
        values[:, : q.shape[1]] = q
        return q.argmax(1), values, after.cpu().numpy()

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

    def calibrate(self) -> None:
        """Standardises phrases by these weights, where they were not reached by training."""
        with self.autocast():
            self.train()
            self.embed()
            self.eval()
        self._tables = None

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bfloat16 where the processor has units for it, plain float32 elsewhere."""
        if self.device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


class ActiveSet:
    """Phrase ids in the order in which they were admitted, and the table row of each."""

    def __init__(self) -> None:
        self.ids: Ids = np.zeros(0, np.int16)
        self._columns: NDArray[np.int32] = np.zeros(1, np.int32)

    def add(self, ids: Iterable[int]) -> bool:
        """Admits ids; true if any was new."""
        known = set(self.ids.tolist())
        new = [i for i in dict.fromkeys(int(i) for i in ids) if i not in known]
        self.ids = np.concatenate([self.ids, np.array(new, np.int16)])
        self._columns = np.zeros(1, np.int32)
        return bool(new)

    def columns(self, phrasebook: Phrasebook) -> NDArray[np.int32]:
        """int32 [phrases + 1]: the row of every id, -1 if not admitted, and 0 for PAD (-1)."""
        if len(self._columns) != len(phrasebook) + 1:
            self._columns = np.full(len(phrasebook) + 1, -1, np.int32)
            self._columns[self.ids] = np.arange(len(self.ids))
            self._columns[-1] = 0
        return self._columns


class TextReader(nn.Module):
    """Reads phrases with a language model.

    Sentences of one game share most words, so that their embeddings all but coincide, and a sum of
    them would tell little of which they were. Two things keep them apart. A linear map, fixed from
    the start, whitens the spread of the phrasebook under the initial weights. What comes out is
    standardised over the phrases that are trained on, at every run of the language model (batch
    normalisation, arXiv 1502.03167, whose batch here is the whole population); without that, a
    small step that moves all phrases alike drowns what tells them apart, and learning collapses.

    Args:
        bert: the language model.
        tokenizer: cuts sentences for it.
        phrasebook: the sentences. It may grow: new ones are cut when they are first read.
        standardise: whether phrases are standardised anew whenever gradients are asked for.
    """

    whiten: Tensor
    center: Tensor
    scale: Tensor

    def __init__(
        self, bert: Bert, tokenizer: WordPiece, phrasebook: Phrasebook, standardise: bool
    ) -> None:
        super().__init__()
        self.bert, self.tokenizer, self.phrasebook = bert, tokenizer, phrasebook
        self.width, self.standardise = bert.config.hidden, standardise
        self._tokens = torch.zeros(0, 0, dtype=torch.int32)
        self._lengths = torch.zeros(0, dtype=torch.int32)
        tokens, lengths = self._sentences()
        center, whiten = torch.zeros(self.width), torch.eye(self.width)
        if len(tokens) > 1:
            with torch.no_grad():
                spread = self.bert(tokens, lengths).double()
            values, axes = torch.linalg.eigh(spread.T.cov())
            # Damped, so that directions without a message are not blown up to the size of the rest.
            scales = (values.clamp_min(0) + WHITENING_DAMP * values.max()).rsqrt()
            whiten = (axes * scales).float().contiguous()
            center = spread.mean(0).float() @ whiten
        self.register_buffer("whiten", whiten)
        self.register_buffer("center", center)
        self.register_buffer("scale", torch.ones(self.width))

    def _sentences(self) -> tuple[Tensor, Tensor]:
        """Token ids [phrases, L] and lengths [phrases] of the whole phrasebook."""
        known = len(self._lengths)
        if known < len(self.phrasebook):
            new = [self.phrasebook[i] for i in range(known, len(self.phrasebook))]
            tokens, lengths = (torch.from_numpy(array) for array in self.tokenizer.encode(new))
            width = max(self._tokens.shape[1], tokens.shape[1])
            parts = (F.pad(part, (0, width - part.shape[1])) for part in (self._tokens, tokens))
            self._tokens = torch.cat(list(parts))
            self._lengths = torch.cat([self._lengths, lengths])
        return self._tokens, self._lengths

    def forward(self, ids: Tensor) -> Tensor:
        """Embeds phrases one by one: int64 [n] -> [n, width]."""
        ids = ids.cpu()
        device = self.center.device
        tokens, lengths = self._sentences()
        embedded = self._whitened(tokens[ids].to(device), lengths[ids].to(device))
        if not (self.standardise and self.training and torch.is_grad_enabled()):
            return (embedded - self.center) * self.scale
        center, scale = embedded.mean(0), 1 / (embedded.std(0, correction=0) + 1e-3)
        self.center.copy_(center.detach())
        self.scale.copy_(scale.detach())
        return (embedded - center) * scale

    def read(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds texts: token ids [n, L], 0-padded, and lengths [n] -> [n, width]."""
        return (self._whitened(tokens, lengths) - self.center) * self.scale

    def _whitened(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.bert(tokens, lengths).float()
        with torch.autocast(embedded.device.type, enabled=False):
            return embedded @ self.whiten

    def paragraphs(self, ids: Ids, starts: NDArray[np.int64], counts: Ids) -> Tensor:
        """Joins the facts of each observation to one paragraph: -> token ids [S, L], 0-padded."""
        tokens, lengths = (tensor.numpy() for tensor in self._sentences())
        inner = lengths - 2  # a paragraph has one [CLS] and one [SEP] in all
        first, last = tokens[0, :1], tokens[0, inner[0] + 1 : inner[0] + 2]
        paragraphs = [
            np.concatenate([first, *(tokens[i, 1 : 1 + inner[i]] for i in ids[s : s + n]), last])
            for s, n in zip(starts.tolist(), counts.tolist(), strict=True)
        ]
        padded = np.zeros((len(paragraphs), max(map(len, paragraphs), default=0)), np.int32)
        for row, paragraph in zip(padded, paragraphs, strict=True):
            row[: len(paragraph)] = paragraph
        return torch.from_numpy(padded)


class VectorReader(nn.Module):
    """No text: a free embedding for every phrase of the book, the baseline."""

    def __init__(self, phrases: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(phrases, width)

    def forward(self, ids: Tensor) -> Tensor:
        """int64 [n] -> [n, width]."""
        if len(ids) and (newest := int(ids.max())) >= self.embedding.num_embeddings:
            raise ValueError(
                f"encoder=vector has an embedding for each of {self.embedding.num_embeddings} "
                f"phrases and none for phrase {newest}, which is new: use encoder=phrases in a "
                "game whose phrasebook grows"
            )
        return self.embedding(ids)


def _make_reader(config: R3D2Config, phrasebook: Phrasebook) -> TextReader | VectorReader:
    if config.encoder == "vector":
        return VectorReader(len(phrasebook), config.text_hidden)
    if config.language_model is not None:
        tokenizer = WordPiece.from_folder(config.language_model)
        bert = Bert.from_folder(
            config.language_model,
            layers=config.text_layers,
            tuning=config.tuning,
            lora_rank=config.lora_rank,
        )
    else:
        tokenizer = WordPiece.from_sentences(phrasebook)
        bert = Bert(
            BertConfig(
                vocab_size=len(tokenizer.vocabulary),
                hidden=config.text_hidden,
                layers=config.text_layers,
                heads=config.text_hidden // 32,
                intermediate=4 * config.text_hidden,
                pool=config.text_pool,
                # A paragraph holds everything that five players have to tell of their hands.
                max_positions=4096 if config.encoder == "paragraph" else 512,
                # BERT's own 0.02 is for long training: its layers start as near identities, and a
                # mean over words hardly sees their order. Random features at fan-in scale do.
                initializer_range=config.text_hidden**-0.5,
            )
        )
    return TextReader(bert, tokenizer, phrasebook, config.encoder == "phrases")


@numba.njit(cache=True, nogil=True)
def _all_known(ids, columns):  # type: ignore[no-untyped-def]
    """Whether every id has a row."""
    for i in ids:  # noqa: SIM110 - numba has no generators
        if columns[i] < 0:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _multi_hot(ids, starts, counts, columns, out):  # type: ignore[no-untyped-def]
    """Sets out[s, columns[id]] to the bits of bfloat16 1.0 for every fact of every observation."""
    for s in range(len(starts)):
        for k in range(starts[s], starts[s] + counts[s]):
            out[s, columns[ids[k]]] = 0x3F80
