"""Messages: named tensors and a few tags, checked before anything is believed.

A message is a list of frames. The first, the *head*, is::

    magic "TRPE" | crc32 | version | nested | 0 0 | header length | description length
    | header | description | small tensors

with the header (see ``Header``) and the description (a list of ``TensorHeader``) in msgpack, and
behind them every tensor of at most ``SMALL`` bytes, each aligned to 8 bytes (until ``SMALL_TOTAL``
is reached). Every larger tensor is a frame of its own, so that it is neither copied to be sent nor
to be received. The description stands apart because most messages have one that was seen before:
it is checked once, and then known. Numbers are little-endian. The CRC covers everything after
itself: the rest of the head, then the frames.

A *nested* message carries whole messages behind its head (a lease of several requests, say); its
CRC covers its head alone, for they have their own.

Nothing of a message is executed, and none of it is believed before its CRC, its types, its caps
and the size of every tensor have been checked. What fails is a ``WireError`` whose ``reason`` is
one of ``REASONS``, to be counted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, get_args
from zlib import crc32 as _crc32_small

import msgspec
import numpy as np
from numpy.typing import NDArray

try:  # The same polynomial, 25 times faster on long buffers; slower on very short ones.
    from isal.isal_zlib import crc32 as _crc32_large
except ImportError:  # pragma: no cover - depends on the machine
    _crc32_large = _crc32_small

Array = NDArray[Any]
Tensors = Mapping[str, Array]
Buffer = bytes | bytearray | memoryview

MAGIC = b"TRPE"
VERSION = 1
SMALL = 32 * 1024
"""Bytes up to which a tensor travels inside the head."""
SMALL_TOTAL = 64 * 1024
"""Bytes of tensors that the head holds at most."""
SIZE = 64 << 20
"""Bytes of a message and of a frame, unless something else is agreed on."""
LARGEST = 1 << 34
"""Bytes of a tensor, whatever is agreed on."""
NOTE = 1000
"""Letters of a note; longer ones are cut where they are encoded."""

_OUTER = struct.Struct("<4sI")
_INNER = struct.Struct("<BBxxII")
_PREFIX = struct.Struct("<4sIBBxxII")
_ALIGN = 8
_PADDING = tuple(bytes(-size % _ALIGN) for size in range(_ALIGN))

REASONS = (
    "size",  # more bytes than the limits allow
    "frames",  # more frames than allowed, or not those that the header names
    "short",  # the head is cut off
    "magic",  # not one of our messages
    "version",  # another version of the wire
    "crc",  # damaged on the way
    "header",  # not a header, or a field out of its range
    "names",  # two tensors of one name
    "shape",  # a tensor whose shape does not match its bytes
    "kind",  # a good message, but not from this side, or not now
)


class Kind(IntEnum):
    """What a message is for."""

    HELLO = 1  # client: what do you serve?
    WELCOME = 2  # to a client: this
    REQUEST = 3  # client: call the function on these tensors
    REPLY = 4  # the answer
    ERROR = 5  # the answer is an error, told in the note
    DROP = 6  # there will be no answer, for the reason in the note
    STATS = 7  # client: how is the pool? And the reply
    READY = 8  # worker: I serve this
    LEASE = 9  # to a worker: answer these requests (nested)
    RESULT = 10  # worker: the answers (nested)
    HEARTBEAT = 11  # either: I am here
    RESET = 12  # to a worker: I do not know you, say READY; to a client: nobody works here
    BYE = 13  # worker: do not count on me
    WEIGHTS = 14  # publisher: parameters of a version
    LATEST = 15  # publisher: the newest version is this


_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Frame = Annotated[int, msgspec.Meta(ge=-1, le=2**53)]
_Dimension = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
_Dtype = Literal["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


class TensorHeader(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Name, type and shape of one tensor."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    dtype: _Dtype
    shape: Annotated[tuple[_Dimension, ...], msgspec.Meta(max_length=8)]


class Header(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a message says besides its tensors.

    Attributes:
        kind: what the message is for.
        request: number of the request, unique among its client's.
        oldest: REQUEST: the client's oldest call without an outcome; all before it are settled.
        epoch: number of the lease, unique among the broker's (0: not leased).
        frame: the frame that was observed (-1: not in real time).
        due: the frame at which the action is to be taken (-1: at once).
        version: version of the weights that answered.
        worker: number of the worker that answered.
        note: REQUEST: the function to call; ERROR, DROP: the reason.
        parts: how many frames each nested message has.
    """

    kind: Kind
    request: _Natural = 0
    oldest: _Natural = 0
    epoch: _Natural = 0
    frame: _Frame = -1
    due: _Frame = -1
    version: _Natural = 0
    worker: _Natural = 0
    note: Annotated[str, msgspec.Meta(max_length=NOTE)] = ""
    parts: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1, le=2**20)], ...], msgspec.Meta(max_length=65536)
    ] = ()


class Message(msgspec.Struct, frozen=True):
    """A message that passed every check.

    Attributes:
        header: its tags.
        tensors: read-only views of the received frames, by name; no copy was made.
        nested: the frames of each nested message, not yet checked.
    """

    header: Header
    tensors: dict[str, Array]
    nested: list[list[Buffer]]


@dataclass(frozen=True)
class Limits:
    """Caps on what is received.

    Attributes:
        size: bytes of a message, all frames together.
        nested: bytes of a message that carries others, each of which may have ``size``.
        frames: frames of a message.
        header: bytes of its header.
    """

    size: int = SIZE
    nested: int = 1 << 30
    frames: int = 8192
    header: int = 1 << 20

    def __post_init__(self) -> None:
        for name in ("size", "nested", "frames", "header"):
            if getattr(self, name) < 1:
                raise ValueError(f"limit {name} must be at least 1, got {getattr(self, name)}")


LIMITS = Limits()


class WireError(ValueError):
    """A message that was refused.

    Attributes:
        reason: one of ``REASONS``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"message refused ({reason}): {detail}")
        self.reason = reason


class _Layout(NamedTuple):
    """Where tensors lie.

    Attributes:
        described: the description that they go by.
        views: name, type and shape of each, its bytes, and its offset among the small ones (-1: a
            frame of its own).
        small: bytes of the small ones.
        large: frames of the others.
    """

    described: bytes
    views: tuple[tuple[str, np.dtype[Any], tuple[int, ...], int, int], ...]
    small: int
    large: int


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_tensors = msgspec.msgpack.Decoder(
    Annotated[list[TensorHeader], msgspec.Meta(max_length=4096)]
).decode
# Little-endian on the wire, whatever the machine ("<" changes nothing where that is native).
_DTYPES = {code: np.dtype(code).newbyteorder("<") for code in get_args(_Dtype)}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_CACHED = 4096  # Longer descriptions are not remembered, so that a cache stays small.


def _crc32(data: Buffer, start: int = 0) -> int:
    return _crc32_large(data, start) if len(data) > 1024 else _crc32_small(data, start)


@lru_cache(maxsize=256)
def _layout(described: bytes) -> _Layout:
    """Where the tensors of a description lie.

    Raises:
        WireError: if the description makes no sense.
    """
    try:
        headers = _decode_tensors(described) if described else []
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError("header", str(error)) from None
    if len({header.name for header in headers}) != len(headers):
        raise WireError("names", "two tensors of one name")
    views, offset, large = [], 0, 0
    for header in headers:
        dtype, shape = _DTYPES[header.dtype], header.shape
        if math.prod(max(d, 1) for d in shape) * dtype.itemsize > LARGEST:
            raise WireError("shape", f"tensor {header.name!r} {shape} is larger than any message")
        size = math.prod(shape) * dtype.itemsize
        if size <= SMALL and offset + size <= SMALL_TOTAL:
            # An empty one has no bytes to point at, wherever the others end.
            views.append((header.name, dtype, shape, size, offset if size else 0))
            offset += size + -size % _ALIGN
        else:
            views.append((header.name, dtype, shape, size, -1))
            large += 1
    return _Layout(described, tuple(views), offset, large)


@lru_cache(maxsize=256)
def _describe(*tensors: tuple[str, np.dtype[Any], tuple[int, ...]]) -> _Layout:
    """Where tensors are to lie, by name, type and shape."""
    described = []
    for name, dtype, shape in tensors:
        if dtype not in _CODES:
            raise ValueError(
                f"tensor {name!r} has dtype {dtype}, which the wire does not carry; "
                f"convert it to one of {', '.join(map(str, _CODES))}"
            )
        if not 1 <= len(name) <= 200 or len(shape) > 8:
            raise ValueError(
                f"tensor {name!r} {shape}: names have 1 to 200 letters, and at most 8 dimensions "
                "can be sent"
            )
        described.append(TensorHeader(name, _CODES[dtype], shape))  # type: ignore[arg-type]
    return _layout.__wrapped__(_encode(described))


def answer_header(
    request: Header,
    kind: Kind,
    note: str = "",
    epoch: int = 0,
    version: int = 0,
    worker: int = 0,
) -> Header:
    """Tags of the answer to a request: what it saw, when it is due, and who answered."""
    return Header(
        kind,
        request=request.request,
        epoch=epoch,
        frame=request.frame,
        due=request.due,
        version=version,
        worker=worker,
        note=note,
    )


def encode(header: Header, tensors: Tensors | None = None) -> list[Buffer]:
    """Frames of a message.

    Args:
        header: its tags.
        tensors: arrays of bool, integers, or floats of 16 to 64 bits, by name.

    Returns:
        The frames. Those after the first are views of the arrays, which must not change until
        the message has left.

    Raises:
        ValueError: if an array has a type that the wire does not carry.
    """
    if not tensors:
        return [_seal(header, b"", (), ())]
    layout = _describe(*[(name, array.dtype, array.shape) for name, array in tensors.items()])
    small: list[Buffer] = []
    frames: list[Buffer] = []
    for (_, _, _, size, offset), array in zip(layout.views, tensors.values(), strict=True):
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        if offset < 0:
            frames.append(array.data.cast("B"))
        elif size:
            small.append(array.data)
            if size % _ALIGN:
                small.append(_PADDING[size % _ALIGN])
    return [_seal(header, layout.described, small, frames), *frames]


def check_size(frames: Sequence[Buffer], limits: Limits = LIMITS) -> int:
    """Makes sure, before a message is sent, that it will not be refused for its size.

    Returns:
        its bytes.

    Raises:
        ValueError: if it would be.
    """
    size = sum(map(len, frames))
    if size > limits.size or len(frames) > limits.frames:
        raise ValueError(
            f"a message of {size} bytes in {len(frames)} frames is too large to be sent: at most "
            f"{limits.size} bytes and {limits.frames} frames are allowed; send it in parts"
        )
    return size


def encode_nested(header: Header, messages: Sequence[Sequence[Buffer]]) -> list[Buffer]:
    """Frames of a message that carries whole messages, in order."""
    header = msgspec.structs.replace(header, parts=tuple(map(len, messages)))
    head = _seal(header, b"", (), (), nested=True)
    return [head, *(frame for message in messages for frame in message)]


def _seal(
    header: Header,
    described: bytes,
    small: Sequence[Buffer],
    frames: Sequence[Buffer],
    nested: bool = False,
) -> bytes:
    """The head: prefix with its CRC, header, description, small tensors."""
    if header.note and (len(header.note) > NOTE or not header.note.isascii()):
        # Whoever words an error has no eye for what a header can carry.
        note = header.note.encode(errors="backslashreplace").decode()
        note = note if len(note) <= NOTE else note[: NOTE - 4] + " ..."
        header = msgspec.structs.replace(header, note=note)
    body = _encode(header)
    padding = _PADDING[(_PREFIX.size + len(body) + len(described)) % _ALIGN]
    inner = _INNER.pack(VERSION, nested, len(body), len(described))
    rest = b"".join((inner, body, described, padding, *small))
    crc = _crc32(rest)
    for frame in frames:
        crc = _crc32(frame, crc)
    return _OUTER.pack(MAGIC, crc) + rest


def decode(frames: Sequence[Buffer], limits: Limits = LIMITS) -> Message:
    """Checks a message and opens it without copying.

    Args:
        frames: what was received, each one-dimensional and of bytes.
        limits: caps on it.

    Raises:
        WireError: if anything about it is wrong.
    """
    header, layout, start = _open(frames, limits)
    if layout is None:
        return Message(header, {}, _split(header, frames, start))
    return Message(header, _tensors(layout, frames, start), [])


def inspect(frames: Sequence[Buffer], limits: Limits = LIMITS) -> tuple[Header, int]:
    """Checks a message as ``decode`` does, and leaves its tensors closed.

    Returns:
        its tags, and the rows of its tensors: the length of the first that has a dimension, 1 if
        none has.

    Raises:
        WireError: if anything about it is wrong, or it carries others.
    """
    header, layout, _ = _open(frames, limits)
    if layout is None:
        raise WireError("frames", "a message in a message in a message")
    for _, _, shape, _, _ in layout.views:
        if shape:
            return header, shape[0]
    return header, 1


def _open(frames: Sequence[Buffer], limits: Limits) -> tuple[Header, _Layout | None, int]:
    """Checks a message; returns its tags, where its tensors lie in it, and where they begin.

    One that carries others has no tensors: None.

    Raises:
        WireError: if anything about it is wrong.
    """
    count = len(frames)
    if not 1 <= count <= limits.frames:
        raise WireError("frames", f"{count} frames, 1 to {limits.frames} are allowed")
    head = frames[0]
    size = len(head)
    total = size if count == 1 else sum(map(len, frames))
    if total > limits.nested and total > limits.size:
        raise WireError("size", f"{total} bytes, at most {limits.nested} are allowed")
    if size < _PREFIX.size:
        raise WireError("short", f"a head of {size} bytes")
    magic, crc, version, nested, length, description = _PREFIX.unpack_from(head)
    if magic != MAGIC:
        raise WireError("magic", f"begins with {magic!r}")
    if version != VERSION:
        raise WireError("version", f"version {version}, this side speaks {VERSION}")
    if total > (most := limits.nested if nested else limits.size):
        raise WireError("size", f"{total} bytes, at most {most} are allowed")
    middle = _PREFIX.size + length
    end = middle + description
    if length + description > limits.header or end > size:
        raise WireError("short", f"{length + description} bytes of header in a head of {size}")
    actual = _crc32(memoryview(head)[_OUTER.size :])
    if count > 1 and not nested:
        for frame in frames[1:]:
            actual = _crc32(frame, actual)
    if actual != crc:
        raise WireError("crc", "damaged on the way")
    try:
        header = _decode_header(head[_PREFIX.size : middle])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError("header", str(error)) from None
    start = end + -end % _ALIGN
    if nested:
        if description:
            raise WireError("frames", "tensors in a nested message")
        return header, None, start
    if header.parts:
        raise WireError("frames", "parts in a message that is not nested")
    find = _layout if description <= _CACHED else _layout.__wrapped__
    layout = find(bytes(head[middle:end]))
    if size != start + layout.small:
        raise WireError("shape", f"{size - start} bytes of small tensors, not {layout.small}")
    if count != 1 + layout.large:
        raise WireError("frames", f"{count - 1} frames of large tensors, not {layout.large}")
    if count > 1:
        large = (view for view in layout.views if view[4] < 0)
        for (name, _, shape, expected, _), frame in zip(large, frames[1:], strict=True):
            if len(frame) != expected:
                raise WireError("shape", f"tensor {name!r} {shape} in {len(frame)} bytes")
    return header, layout, start


def _split(header: Header, frames: Sequence[Buffer], end: int) -> list[list[Buffer]]:
    """The frames of each nested message."""
    if end != len(frames[0]) or sum(header.parts) != len(frames) - 1:
        raise WireError("frames", f"{len(frames) - 1} nested frames, not {sum(header.parts)}")
    nested, at = [], 1
    for count in header.parts:
        nested.append(list(frames[at : at + count]))
        at += count
    return nested


def _tensors(layout: _Layout, frames: Sequence[Buffer], start: int) -> dict[str, Array]:
    """Views of the tensors, which begin at ``start`` in the head."""
    head, tensors, index = frames[0], {}, 1
    for name, dtype, shape, _, offset in layout.views:
        if offset >= 0:
            tensors[name] = np.ndarray(shape, dtype, head, start + offset)
        else:
            # Read-only like those in the head: a kernel would be compiled for every mixture.
            tensors[name] = np.ndarray(shape, dtype, memoryview(frames[index]).toreadonly())
            index += 1
    return tensors


def text_tensor(text: str) -> NDArray[np.uint8]:
    """A text as a tensor (UTF-8), for what is longer than a note."""
    return np.frombuffer(text.encode(), np.uint8)


def tensor_text(tensor: Array) -> str:
    """The text of ``text_tensor``.

    Raises:
        WireError: if the tensor is not a text.
    """
    if tensor.dtype != np.uint8 or tensor.ndim != 1:
        raise WireError("shape", f"a text is a uint8 vector, got {tensor.dtype} {tensor.shape}")
    try:
        return tensor.tobytes().decode()
    except UnicodeDecodeError:
        raise WireError("header", "a text that is not UTF-8") from None
