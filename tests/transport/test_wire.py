from __future__ import annotations

import gc
from collections import Counter

import numpy as np
import psutil
import pytest

from tests.transport.fuzz import honest_messages, mutated, sealed
from transport import wire
from transport.wire import Header, Kind, Limits, WireError, decode, encode, encode_nested

DTYPES = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


def received(frames):
    """What the other side gets: the same bytes elsewhere."""
    return [memoryview(bytes(frame)) for frame in frames]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5), (2, 0, 4), (257, 129), (1,) * 8])
def test_every_type_and_shape_arrives_as_it_left(dtype, shape):
    rng = np.random.default_rng(1)
    array = rng.integers(0, 2, shape).astype(dtype) * rng.integers(0, 100, shape).astype(dtype)
    message = decode(received(encode(Header(Kind.REPLY), {"x": array, "y": array})))
    for tensor in message.tensors.values():
        assert tensor.dtype == array.dtype
        assert tensor.shape == array.shape
        np.testing.assert_array_equal(tensor, array)


def test_tags_arrive_as_they_left():
    header = Header(
        Kind.REPLY, request=2**63 - 1, epoch=5, frame=-1, due=2**53, version=3, worker=4, note="é"
    )
    assert decode(received(encode(header))).header == header


def test_arrays_that_are_not_contiguous_or_little_endian_are_sent_right():
    array = np.arange(24, dtype=np.int32).reshape(4, 6)
    for tensor in (array.T, array[:, ::2], array[::-1]):
        np.testing.assert_array_equal(
            decode(received(encode(Header(Kind.REPLY), {"x": tensor}))).tensors["x"], tensor
        )
    with pytest.raises(ValueError, match="dtype >i4"):
        encode(Header(Kind.REPLY), {"x": array.astype(">i4")})


def test_tensors_are_views_of_what_was_received():
    tensors = {"large": np.arange(10_000.0), "small": np.arange(10)}
    head, *large = received(encode(Header(Kind.REPLY), tensors))
    frames = [head, *map(bytearray, large)]  # What a socket gives can be written to.
    message = decode(frames)
    for tensor in message.tensors.values():
        assert any(np.shares_memory(tensor, np.frombuffer(frame, np.uint8)) for frame in frames)
        assert tensor.flags.aligned
        assert not tensor.flags.writeable


def test_large_tensors_are_lent_not_copied():
    large = np.arange(10_000.0)
    assert np.shares_memory(encode(Header(Kind.REPLY), {"x": large})[1], large)


def test_small_tensors_share_the_head_until_it_is_full():
    tensors = {str(i): np.full(30_000, i, np.uint8) for i in range(5)}
    frames = encode(Header(Kind.REPLY), tensors)
    assert len(frames) == 1 + 3  # two of 30,000 bytes fit into 64 KiB
    for name, tensor in decode(received(frames)).tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j])])
def test_what_the_wire_does_not_carry_is_refused_by_name(array):
    with pytest.raises(ValueError, match="'thing' has dtype"):
        encode(Header(Kind.REPLY), {"thing": array})


def test_nested_messages_come_out_as_they_went_in():
    inner = honest_messages()
    message = decode(received(encode_nested(Header(Kind.LEASE, epoch=4), inner)))
    assert message.header.epoch == 4
    assert [[bytes(frame) for frame in nested] for nested in message.nested] == inner


def test_texts_survive():
    text = "one line\nanother: é 🂡"
    assert wire.tensor_text(wire.text_tensor(text)) == text
    with pytest.raises(WireError, match="UTF-8"):
        wire.tensor_text(np.array([255], np.uint8))


def refusal(frames, limits=wire.LIMITS):
    with pytest.raises(WireError) as caught:
        decode(frames, limits)
    return caught.value.reason


def test_each_reason_is_told_apart():
    message = honest_messages()[3]
    head = message[0]
    assert refusal([]) == "frames"
    assert refusal(message, Limits(frames=1)) == "frames"
    assert refusal(message, Limits(size=1000)) == "size"
    assert refusal(message, Limits(header=10)) == "short"
    assert refusal([head[:10]]) == "short"
    assert refusal([b"X" + head[1:], message[1]]) == "magic"
    assert refusal([head[:8] + b"\x09" + head[9:], message[1]]) == "version"
    assert refusal([head, message[1][:-1] + b"!"]) == "crc"
    assert refusal(sealed([head, message[1][:-8]])) == "shape"
    assert refusal(sealed([head])) == "frames"
    assert refusal(sealed([*message, b"more"])) == "frames"
    assert refusal(sealed([head + bytes(8), message[1]])) == "shape"
    assert refusal(sealed([head[:20] + b"\xc1" + head[21:], message[1]])) == "header"
    twice = encode(Header(Kind.REPLY), {"a": np.zeros(3), "b": np.zeros(3)})
    assert refusal(sealed([bytes(twice[0]).replace(b"\xa1b", b"\xa1a")])) == "names"


def test_every_flip_of_one_byte_is_noticed():
    for message in honest_messages()[:5]:
        for index, frame in enumerate(message):
            for at in range(0, len(frame), 1 if len(frame) < 2000 else 97):
                damaged = bytearray(frame)
                damaged[at] ^= 0x10
                frames = [*message[:index], bytes(damaged), *message[index + 1 :]]
                assert refusal(frames) in wire.REASONS


def test_every_cut_is_noticed():
    for message in honest_messages():
        for end in range(len(message[0])):
            assert refusal([message[0][:end], *message[1:]]) in wire.REASONS


def survive(count, seed):
    """Decodes damaged messages; what is accepted must be whole."""
    refused, accepted = Counter(), 0
    for frames in mutated(count, seed):
        try:
            message = decode(frames)
        except WireError as error:
            refused[error.reason] += 1
        else:
            accepted += 1
            for tensor in message.tensors.values():
                tensor.tobytes()  # every byte of it can be read
    return refused, accepted


def endure(count):
    survive(100_000, seed=1)  # caches and allocators are warm then
    gc.collect()
    before = psutil.Process().memory_info().rss
    refused, accepted = survive(count, seed=2)
    gc.collect()
    grown = psutil.Process().memory_info().rss - before
    assert set(refused) == set(wire.REASONS) - {"size", "kind"}
    assert sum(refused.values()) + accepted == count
    assert refused.total() > 0.7 * count  # the rest was changed in ways that make sense
    assert grown < 8 << 20, f"memory grew by {grown >> 10} KiB"
    for message in honest_messages():
        decode(message)


def test_damaged_messages_do_no_harm():
    endure(300_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_million_damaged_messages_do_no_harm():
    endure(10_000_000)


def test_notes_are_cut_where_they_are_encoded():
    """Whoever words an error knows nothing of headers: no receiver may refuse the error itself."""
    for note in ("x" * 5000, "é" * 5000, "\udc80" * 10, "fine", "schön"):
        told = wire.decode(wire.encode(Header(Kind.ERROR, note=note))).header.note
        assert 0 < len(told) <= wire.NOTE
        assert told == note or told.endswith(" ...") or told == r"\udc80" * 10


def test_what_is_too_large_is_refused_before_it_is_sent():
    message = wire.encode(Header(Kind.REQUEST), {"x": np.zeros(2000, np.uint8)})
    assert wire.check_size(message) == sum(map(len, message))
    with pytest.raises(ValueError, match="too large to be sent: at most 1000 bytes"):
        wire.check_size(message, wire.Limits(size=1000))


def test_messages_that_carry_others_have_a_cap_of_their_own():
    inner = wire.encode(Header(Kind.REQUEST), {"x": np.zeros(600, np.uint8)})
    limits = wire.Limits(size=1000, nested=2500)
    lease = wire.encode_nested(Header(Kind.LEASE), [inner] * 3)
    assert len(wire.decode(lease, limits).nested) == 3
    for frames in (
        wire.encode_nested(Header(Kind.LEASE), [inner] * 4),
        wire.encode(Header(Kind.REQUEST), {"x": np.zeros(1000, np.uint8)}),
    ):
        with pytest.raises(WireError, match="size"):
            wire.decode(frames, limits)


def test_who_passes_a_message_on_refuses_what_its_reader_would():
    """``inspect`` finds the same faults as ``decode``, and tells the rows of what is whole."""

    def verdict(function, frames):
        try:
            return function(frames)
        except WireError as error:
            return error.reason

    whole = 0
    for frames in (*honest_messages(), *mutated(5000, 5)):
        read, passed = verdict(wire.decode, frames), verdict(wire.inspect, frames)
        if isinstance(read, str):
            assert passed == read
        elif read.nested:
            assert passed == "frames"  # One that carries others is for nobody else to read.
        elif not isinstance(passed, str):
            lengths = (len(tensor) for tensor in read.tensors.values() if tensor.ndim)
            assert passed == (read.header, next(lengths, 1))
            whole += 1
        else:
            assert read.tensors == {}  # A nested message without a message.
    assert whole > 5
