"""Messages damaged in every way that a message can be, for the tests that must survive them."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator

import msgspec
import numpy as np

from transport.wire import Buffer, Header, Kind, encode, encode_nested

HEAD = struct.Struct("<4sIBBxxII")


def honest_messages() -> list[list[bytes]]:
    """A message of every shape: none, small, large, empty and nested tensors."""
    rng = np.random.default_rng(0)
    request = Header(Kind.REQUEST, request=7, frame=3, due=12)
    small = {
        "facts": rng.integers(0, 700, (4, 60)).astype(np.int16),
        "memory": rng.normal(size=(4, 16)).astype(np.float32),
        "alive": np.array([True, False]),
        "scalar": np.array(3.5),
        "nothing": np.zeros((0, 5), np.int64),
    }
    large = {"weights": rng.normal(size=(100, 100)), "step": np.array([1], np.uint64)}
    messages = [
        encode(Header(Kind.HELLO)),
        encode(Header(Kind.ERROR, request=3, note="something went wrong: é")),
        encode(request, small),
        encode(request, large),
        encode(request, {"one": small["facts"][:1, :3]}),
    ]
    messages.append(encode_nested(Header(Kind.LEASE, epoch=99), messages[2:4]))
    return [[bytes(frame) for frame in message] for message in messages]


def sealed(frames: list[bytes]) -> list[bytes]:
    """The same frames with the CRC that they ought to have, so that the checks behind it run."""
    head = bytearray(frames[0] if frames else b"")
    if len(head) < HEAD.size:
        return frames
    crc = zlib.crc32(memoryview(head)[8:])
    if not head[9]:
        for frame in frames[1:]:
            crc = zlib.crc32(frame, crc)
    head[4:8] = struct.pack("<I", crc)
    return [bytes(head), *frames[1:]]


def mutated(count: int, seed: int) -> Iterator[list[Buffer]]:
    """Yields damaged messages; half of them carry the right CRC nevertheless."""
    rng = random.Random(seed)
    honest = honest_messages()
    edits = (_flip, _flip, _flip_header, _cut, _insert, _frames, _length, _field, _noise)
    for _ in range(count):
        frames = edits[int(rng.random() * len(edits))](honest[int(rng.random() * 6)], rng)
        yield sealed(frames) if rng.random() < 0.5 else frames  # type: ignore[misc]


def _flip(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """One byte of one frame is another."""
    at = int(rng.random() * len(frames))
    frame = bytearray(frames[at])
    if frame:
        frame[int(rng.random() * len(frame))] ^= 1 + int(rng.random() * 255)
    return [*frames[:at], bytes(frame), *frames[at + 1 :]]


def _flip_header(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """Some bytes where the types, tags and shapes stand."""
    head = bytearray(frames[0])
    for _ in range(1 + int(rng.random() * 4)):
        head[8 + int(rng.random() * (min(len(head), 150) - 8))] = int(rng.random() * 256)
    return [bytes(head), *frames[1:]]


def _cut(frames: list[bytes], rng: random.Random) -> list[bytes]:
    at = int(rng.random() * len(frames))
    end = int(rng.random() * (len(frames[at]) + 1))
    return [*frames[:at], frames[at][:end], *frames[at + 1 :]]


def _insert(frames: list[bytes], rng: random.Random) -> list[bytes]:
    at, data = int(rng.random() * len(frames)), rng.randbytes(1 + int(rng.random() * 40))
    where = int(rng.random() * (len(frames[at]) + 1))
    return [*frames[:at], frames[at][:where] + data + frames[at][where:], *frames[at + 1 :]]


def _frames(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """Frames lost, doubled, swapped or added."""
    edited = list(frames)
    kind = int(rng.random() * 4)
    if kind == 0:
        del edited[int(rng.random() * len(edited))]
    elif kind == 1:
        edited.append(edited[int(rng.random() * len(edited))])
    elif kind == 2:
        rng.shuffle(edited)
    else:
        edited.insert(int(rng.random() * 3), rng.randbytes(int(rng.random() * 64)))
    return edited


def _length(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """A header or a description that says it is longer, or shorter, than it is."""
    head = bytearray(frames[0])
    at = rng.choice((12, 16))
    head[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 15, 2**16, 2**31, 2**32 - 1)))
    return [bytes(head), *frames[1:]]


_ODD = (None, True, -1, 0, 2**63, 2**64 - 1, 1.5, "", "x" * 2000, b"\xff" * 9, [], [[]], {"a": 1})
_SHAPES = ((2**40,) * 8, (0, 2**40, 2**40), (2**63,), (-1,), (2**31, 2**31), (3,) * 9, ("2",))
_DTYPES = ("O8", "f4", "V8", ">f4", "memory")


def _field(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """A well-formed head with one thing in it that cannot be."""
    _, _, version, nested, length, described = HEAD.unpack_from(frames[0])
    middle, end = HEAD.size + length, HEAD.size + length + described
    body, tensors = frames[0][HEAD.size : middle], frames[0][middle:end]
    if rng.random() < 0.5:
        fields = msgspec.msgpack.decode(body)
        at = int(rng.random() * (len(fields) + 1))
        fields[at : at + 1] = [rng.choice(_ODD)]
        body = msgspec.msgpack.encode(fields)
    else:
        described = msgspec.msgpack.decode(tensors) if tensors else [["x", "f4", [1]]]
        rng.choice(described)[int(rng.random() * 3)] = rng.choice((*_ODD, *_SHAPES, *_DTYPES))
        tensors = msgspec.msgpack.encode(described)
    prefix = HEAD.pack(b"TRPE", 0, version, nested, len(body), len(tensors))
    padding = bytes(-(HEAD.size + len(body) + len(tensors)) % 8)
    return sealed([prefix + body + tensors + padding + frames[0][end + -end % 8 :], *frames[1:]])


def _noise(frames: list[bytes], rng: random.Random) -> list[bytes]:
    return [rng.randbytes(int(rng.random() * 80)) for _ in range(int(rng.random() * 4))]
