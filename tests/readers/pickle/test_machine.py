"""Each instruction of a pickle, each limit and each refusal of the machine that reads them."""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tinytorch_datasets.errors import DecodeError, UnsafePickle
from tinytorch_datasets.readers.pickle import BYTES_BESIDE, globals_of, load
from tinytorch_datasets.readers.pickle.machine import Machine
from tinytorch_datasets.readers.pickle.numpy_globals import (
    ALLOWED,
    Allowance,
    Dtype,
    NdarrayType,
    UnsafeGlobal,
    global_name,
    set_array_state,
)
from tinytorch_datasets.readers.pickle.opcodes import BadPickle, instructions, source
from tinytorch_datasets.readers.pickle.values import Latin1Text, Run, run

FILE = Path("some.pkl")


def by(chunk: int, data: bytes) -> Callable[[int], bytes]:
    """A function that reads so many bytes at a time, which is what is held of a text at once."""
    at = 0

    def read(_: int) -> bytes:
        nonlocal at
        at += chunk
        return data[at - chunk : at]

    return read


def loaded(data: bytes, chunk: int = 1 << 20) -> Any:
    """What the pickle holds, if its bytes come so many at a time."""
    return load(by(chunk, data), FILE, most=10_000)


# Programs that `pickle` itself reads, so that what each instruction does is known from there.
PROGRAMS = [
    *[b"I%d\n." % n for n in (0, 7, -7, 255, 10**22)],
    *[b"I00\n.", b"I01\n.", b"L7L\n.", b"L-12345678901234567890123L\n.", b"L7\n.", b"I-00\n."],
    *[b"\x8a\0.", b"\x8a\x01\xff.", b"\x8a\x09" + b"\xff" * 8 + b"\0.", b"\x8b\x02\0\0\0\x00\x80."],
    *[
        b"J\xfe\xff\xff\xff.",
        b"K\xff.",
        b"M\xfe\xff.",
        b"G\xbf\xf0\0\0\0\0\0\0.",
        b"F1.5\n.",
        b"F-1e-300\n.",
        b"F" + b"1" * 32 + b"\n.",
    ],
    *[b"N.", b"\x88.", b"\x89.", b").", b"].", b"}."],
    *[b"S'a'\n.", b'S"a"\n.', b"S''\n.", b"S'\\\\\\'\\n\\r\\t\\x0f\\xff'\n.", b'S"\\""\n.', b"S'\"'\n."],
    *[b"T\x02\0\0\0ab.", b"U\x02ab.", b"U\0.", b"B\x02\0\0\0ab.", b"C\x02a\xff.", b"\x8e\x01\0\0\0\0\0\0\0a."],
    *[b"\x96\x02\0\0\0\0\0\0\0ab.", b"X\x02\0\0\0\xc3\xa9.", b"\x8c\x02\xc3\xa9.", b"\x8d\x01\0\0\0\0\0\0\0a."],
    *[b"Va\\u20ac\\U0001f600\\x41\xe9\n.", b"V\n.", b"V\\u005c\n."],
    *[b"(t.", b"(K\x01K\x02t.", b"K\x01\x85.", b"K\x01K\x02\x86.", b"K\x01K\x02K\x03\x87.", b"K\0K\x01\x85\x86."],
    *[b"(l.", b"(K\x01K\x02l.", b"]K\x01a.", b"](K\x01K\x02e.", b"](e.", b"](K\x01eK\x02a."],
    *[b"(d.", b"(K\x01K\x02d.", b"}K\x01K\x02s.", b"}(K\x01K\x02K\x03K\x04u.", b"}(u.", b"}(K\x01K\x02uK\x01K\x03s."],
    *[b"K\x01K\x020.", b"K\x01(0.", b"K\x01(K\x02K\x031.", b"(K\x01(K\x02t0K\x03t."],
    *[b"K\x01q\x050h\x05.", b"K\x01r\0\x01\0\x000j\0\x01\0\0.", b"K\x01p10\n0g10\n.", b"K\x01\x940h\0."],
    *[b"K\x01\x94K\x02\x94K\x03\x94h\x01\x86\x86\x86.", b"K\x01q\x07\x94\x80\x020h\x01.", b"]\x94h\0a0N."],
    *[b"\x80\x05\x95\x01\0\0\0\0\0\0\0N.", b"\x80\x04\x95\x02\0\0\0\0\0\0\0N.", b"\x80\0N."],
    *[b"}X\x01\0\0\0aK\x01sC\x01bK\x02sNK\x03s\x88K\x04sG\0\0\0\0\0\0\0\0K\x05s."],
]


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
def test_each_instruction_does_what_it_does_for_pickle(chunk: int) -> None:
    """However many bytes of it come at a time."""
    for program in PROGRAMS:
        expected = pickle.loads(program, encoding="bytes")
        found = loaded(program, chunk)
        if isinstance(expected, bytearray):
            expected, found = bytes(expected), bytes(found)
        assert repr(found) == repr(expected), program


VALUE = {
    "a": [
        1,
        -1,
        255,
        256,
        65536,
        2**31,
        2**63 - 1,
        1.5,
        None,
        True,
        False,
        b"x",
        "caf\u00e9",
        "\u20ac",
        bytearray(b"y"),
    ],
    "b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    3: {4: "\\ ' \" \n"},
}


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 20])
def test_instructions_are_where_pickletools_sees_them(chunk: int) -> None:
    """Each at its byte, with its opcode and its argument."""
    for protocol in range(6):
        value = {key: held for key, held in VALUE.items() if key != "a"} if protocol < 5 else VALUE
        data = pickle.dumps(value, protocol)
        expected = [(at, op.code.encode("latin-1"), argument) for op, argument, at in pickletools.genops(data)]
        found = [*instructions(source(by(chunk, data)))]

        assert [(at, code) for at, code, _ in found] == [(at, code) for at, code, _ in expected]
        for (_, code, argument), (_, _, other) in zip(found, expected, strict=True):
            if (type(other) in (int, float) and type(argument) is not bytes) or type(other) is bytes:
                assert argument == other, code


DOES_NOT_FIT = "at byte {}, instruction {!r} does not fit what came before"

REFUSED: list[tuple[bytes, str]] = [
    (b"I%d\n." % 10**24, "not a whole number, or one of too many digits"),
    (b"I1.5\n.", "not a whole number, or one of too many digits"),
    (b"IX5\n.", "not a whole number, or one of too many digits"),
    (b"I\n.", "not a whole number, or one of too many digits"),
    (b"I--1\n.", DOES_NOT_FIT.format(0, b"I")),
    (b"\x8a\x0a" + b"\x01" * 10 + b".", "a whole number of more than 64 bits"),
    (b"F%s\n." % (b"1" * 33), "a number that has too many digits"),
    (b"Fone\n.", DOES_NOT_FIT.format(0, b"F")),
    (b"S'\n.", "a string without its quotes"),
    (b"S\n.", "a string without its quotes"),
    (b"S'a\"\n.", "a string without its quotes"),
    (b"Saa\n.", "a string without its quotes"),
    (b"S'\\x0'\n.", "a string with an escape that repr() does not write"),
    (b"NS'a\\'\n.", DOES_NOT_FIT.format(1, b"S")),
    (b"NV\\udfff\n.", DOES_NOT_FIT.format(1, b"V")),
    (b"NV\\ud800\n.", DOES_NOT_FIT.format(1, b"V")),
    (b"NV\\u12\n.", DOES_NOT_FIT.format(1, b"V")),
    (b"NX\x01\0\0\0\xff.", DOES_NOT_FIT.format(1, b"X")),
    (b"\x80\x06N.", "its protocol is 6; 0 to 5 are known"),
    (b"N\x85\x86.", DOES_NOT_FIT.format(2, b"\x86")),
    (b"NN\x87.", DOES_NOT_FIT.format(2, b"\x87")),
    (b"Nt.", DOES_NOT_FIT.format(1, b"t")),
    (b"N1.", DOES_NOT_FIT.format(1, b"1")),
    (b"N0q\0.", DOES_NOT_FIT.format(2, b"q")),
    (b"Np1.5\n.", DOES_NOT_FIT.format(1, b"p")),
    (b"g1\n.", DOES_NOT_FIT.format(0, b"g")),
    (b"j\0\0\0\0.", DOES_NOT_FIT.format(0, b"j")),
    (b"K\x01Na.", DOES_NOT_FIT.format(3, b"a")),
    (b"N(Ne.", DOES_NOT_FIT.format(3, b"e")),
    (b"]NNs.", DOES_NOT_FIT.format(3, b"s")),
    (b"}Ns.", DOES_NOT_FIT.format(2, b"s")),
    (b"(Nd.", DOES_NOT_FIT.format(2, b"d")),
    (b"}()Nu.", DOES_NOT_FIT.format(4, b"u")),
    (b"}(NN)Nu.", DOES_NOT_FIT.format(6, b"u")),
    (b"Nb.", DOES_NOT_FIT.format(1, b"b")),
    (b"}Nb.", DOES_NOT_FIT.format(2, b"b")),
    (b"N)R.", DOES_NOT_FIT.format(2, b"R")),
    (b")R.", DOES_NOT_FIT.format(1, b"R")),
    (b"c_codecs\nencode\n]R.", DOES_NOT_FIT.format(17, b"R")),
    (b"cnumpy\ndtype\xff\n.", DOES_NOT_FIT.format(0, b"c")),
    (b"N(.", "it does not end with one value"),
    (b"N(N.", "it does not end with one value"),
    (b"N(Nt", "at byte 4, it is cut short"),
    (b"N", "at byte 1, it is cut short"),
    (b"N." + b"x" * (1 << 20), "at byte 2, 1,048,576 or more bytes follow its end"),
    (b"N." + b"x" * ((1 << 20) - 1), "at byte 2, 1,048,575 bytes follow its end"),
    (b"C\x03ab", "at byte 0, 3 bytes are stated, 2 are left"),
    (b"NC\x03", "at byte 1, 3 bytes are stated, 0 are left"),
    (b"NC", "at byte 2, it is cut short"),
    (b"NM\x01", "at byte 3, it is cut short"),
    (b"cnumpy\nd", "at byte 0, a line without an end"),
    (b"NV\n", "at byte 3, it is cut short"),
    (b"NI", "at byte 1, a line without an end"),
    (b"N\x8b\xff\xff\xff\xff", "at byte 1, -1 bytes are stated"),
    (b"N?", "at byte 1, b'?' is not an instruction"),
    (b"\x80\x04\x95\x05\0\0\0\0\0\0\0N.", "at byte 2, a frame of 5 bytes is stated, 2 are left"),
    (b"\x80\x04\x95\x05\0\0\0\0\0\0\0NN", "at byte 2, a frame of 5 bytes is stated, 2 are left"),
    (b"\x80\x04\x95\x01\0\0\0\0\0\0\0NN", "at byte 13, it is cut short"),
]


@pytest.mark.parametrize("chunk", [2, 1 << 20])
def test_what_no_writer_writes_is_refused(chunk: int) -> None:
    """In words that say where, or what."""
    for program, reason in REFUSED:
        if len(program) > 1 << 16 and chunk == 2:
            continue
        with pytest.raises(DecodeError) as caught:
            loaded(program, chunk)

        assert (caught.value.reason, caught.value.path) == (f"the pickle is not sound: {reason}", FILE), program
        with pytest.raises(DecodeError) as caught:
            load(by(chunk, program), FILE, most=10_000, member="x.pkl")
        assert caught.value.reason == f"member 'x.pkl': the pickle is not sound: {reason}"


SPELLED_LONG = "a string with an escape that its writer does not write"
SPELLED = {"a string with an escape that repr() does not write", SPELLED_LONG}
ENCODED = "a long text in it is not in its encoding"
CUT = 3 << 15  # where a text that begins in front is first cut, if its bytes come 32 KiB at a time


def utf8(raw: bytes) -> bytes:
    """The instruction of a text."""
    return b"X" + struct.pack("<I", len(raw)) + raw


# Long texts, of which the first are many letters, so that they are cut somewhere in what is here.
TEXTS: list[tuple[Callable[[bytes], bytes], Callable[[str], Any] | set[str]]] = [
    (
        lambda a: b"S'" + a + b"b\\x00\\xff\\n\\r\\t\\\\\\'\\\"c'\n.",
        lambda a: (a + "b\x00\xff\n\r\t\\'\"c").encode("latin-1"),
    ),
    (lambda a: b'S"' + a + b"it's here\"\n.", lambda a: (a + "it's here").encode()),
    (lambda a: b"V" + a + b"b\\u00e9\\x41\\n\n.", lambda a: a + "b\u00e9\\x41\\n"),
    (lambda a: b"V" + a + b"b\\u20ac\\U0001f600c\xe9\n.", lambda a: a + "b\u20ac\U0001f600c\xe9"),
    (lambda a: b"V" + a + b"\\u20ac" + a + b"\n.", lambda a: a + "\u20ac" + a),
    (lambda a: utf8(a + b"b\xc3\xa9cd") + b".", lambda a: a + "b\u00e9cd"),
    (lambda a: utf8(a + b"b\xc3\xa9\xe2\x82\xacc\xf0\x9f\x98\x80") + b".", lambda a: a + "b\u00e9\u20acc\U0001f600"),
    (lambda a: b"\x8d" + struct.pack("<Q", len(a)) + a + b".", lambda a: a),
    (lambda a: b"B" + struct.pack("<I", len(a) + 1) + a + b"\xff.", lambda a: a.encode() + b"\xff"),
    (lambda a: b"]" + utf8(a) + b"a.", lambda a: [a]),
    (lambda a: b"}N" + utf8(a) + b"s.", lambda a: {None: a}),
    (lambda a: utf8(a) + b"\x85.", lambda a: (a,)),
    (lambda a: b"](K\x01" + utf8(a) + b"ta.", lambda a: [(1, a)]),
    (
        lambda a: b"c_codecs\nencode\n" + utf8(a + b"\xc3\xa9") + utf8(b"latin1") + b"\x86R.",
        lambda a: a.encode() + b"\xe9",
    ),
    (lambda a: b"c_codecs\nencode\n(" + utf8(a) + utf8(b"latin1") + b"tR.", lambda a: a.encode()),
    (
        lambda a: b"}" + b"C\xff" + a[:255] + utf8(a[:-9]) + b"s" + utf8(b"images") + b"K\x07s.",
        lambda a: {a[:255].encode(): a[:-9], "images": 7},
    ),
    (lambda a: b"S'" + a + b"\n.", {"a string without its quotes"}),
    (lambda a: b"S" + a + b"'\n.", {"a string without its quotes"}),
    (lambda a: b"S'" + a + b"\\dbcdefghijklm'\n.", SPELLED),
    (lambda a: b"S'" + a + b"\\x0'\n.", SPELLED),
    (lambda a: b"S'" + a + b"\\'\n.", {SPELLED_LONG, DOES_NOT_FIT.format(0, b"S")}),
    (lambda a: b"V" + a + b"\\u00\n.", {SPELLED_LONG, DOES_NOT_FIT.format(0, b"V")}),
    (lambda a: b"V" + a + b"\\U0011ffff\n.", {ENCODED, DOES_NOT_FIT.format(0, b"V")}),
    (lambda a: b"V" + a + b"\\ud800b\n.", {DOES_NOT_FIT.format(0, b"V")}),
    (lambda a: utf8(a + b"b\xc3") + b".", {ENCODED, DOES_NOT_FIT.format(0, b"X")}),
    (lambda a: utf8(a + b"\xff\xffbc") + b".", {ENCODED, DOES_NOT_FIT.format(0, b"X")}),
]


def test_texts_that_come_in_pieces() -> None:
    """Are those that they are as a whole, wherever a piece ends; and so is what is refused in them."""
    for make, expected in TEXTS:
        refusals = set()
        for letters in range(CUT - 26, CUT + 2):
            program = make(b"a" * letters)
            try:
                found = loaded(program, 1 << 15)
            except DecodeError as error:
                refusals.add(error.reason.removeprefix("the pickle is not sound: "))
                continue
            assert callable(expected), program[-40:]
            value = expected("a" * letters)
            assert (found, type(found)) == (value, type(value)), program[-40:]
        assert refusals == (expected if isinstance(expected, set) else set()), make(b"a")


def test_short_texts_are_keys_and_names_wherever_the_bytes_are_cut() -> None:
    """A text of up to 64 KiB is never in pieces, which no key and no name may be."""
    for letters in range(65_500, 65_540):
        held = {"a": "a" * letters, "images": 7, b"b": 8}
        for protocol in (0, 2):
            assert loaded(pickle.dumps(held, protocol), 1 << 16) == held


# What is paid for: each instruction, the bytes that it has, and what is made of them.
COSTS: list[tuple[bytes, int]] = [
    (b"N.", 16 + 16),
    (b"C\x02ab.", 64 + 2 + 16),
    (b"X\x02\0\0\0ab.", 64 + 2 + 16),
    (b"X\x04\0\0\0\xc3\xa9ab.", 64 + 4 + 4 * 3 + 16),
    (b"S'ab'\n.", 64 + 4 + 16),
    (b"I7\n.", 48 + 1 + 16),
    (b"J\0\0\0\0.", 48 + 16),
    (b"K\0K\0\x86.", 16 + 16 + 72 + 16),
    (b"Nq\0.", 16 + 144 + 16),
    (b"}NNs.", 72 + 16 + 16 + 144 + 64 * 2 + 16),
    (b"}(NNK\x01Nu.", 72 + 72 + 4 * 16 + 144 + 64 * 4 + 16),
    (b"(NNl.", 72 + 16 + 16 + 72 + 16),
    (b"cnumpy\nndarray\n0N.", 16 + 5 + 7 + 16 + 16 + 16),
    (b"B" + struct.pack("<I", 200_000) + b"a" * 200_000 + b".", 64 + 200_000 + 16),
    (utf8(b"a" * 200_000) + b".", 64 + 200_000 + 16),
    (utf8(b"\xc3\xa9" * 100_000) + b".", 64 + 100_000 + 16),
    (utf8(b"a" * 200_000) + b"\x85.", 64 + 200_000 + 72 + 200_000 + 16),
    (
        b"c_codecs\nencode\n" + utf8(b"a" * 200_000) + utf8(b"latin1") + b"\x86R.",
        16 + 7 + 6 + 64 + 200_000 + 64 + 6 + 72 + 144 + 16,
    ),
    (b"S'" + b"a" * 200_000 + b"\\xff" * 3 + b"'\n.", 64 + 200_003 + 16),
    # Of the first piece, as bytes; then all again as wide text, which may take eight bytes a character.
    (utf8(b"a" * (CUT - 5) + b"\xe2\x82\xac" + b"b" * 65_533) + b".", 64 + CUT - 5 + 8 * (CUT - 4 + 65_533) + 16),
    (utf8(b"a" * (CUT - 5) + "\u20ac".encode() + b"b" * 65_543) + b".", 64 + CUT - 5 + 8 * (CUT - 4 + 65_543) + 16),
]


def test_everything_that_is_made_is_paid_for() -> None:
    """To the byte: as much is enough, and a byte less is not."""
    for program, cost in COSTS:
        machine = Machine(by(1 << 15, program), 100, 0)
        machine.run()
        assert BYTES_BESIDE - machine.allowance.left == cost, program

        Machine(by(1 << 15, program), 100, cost - BYTES_BESIDE).run()
        with pytest.raises(BadPickle) as caught:
            Machine(by(1 << 15, program), 100, cost - BYTES_BESIDE - 1).run()
        assert str(caught.value) == f"what it holds takes more than the {cost - 1:,} bytes that are allowed for it"


def test_instructions_are_counted() -> None:
    """As many as are allowed are carried out; the last of them is the end."""
    assert load(b"N0N0N.", FILE, most=6) is None
    with pytest.raises(DecodeError) as caught:
        load(b"N0N0N.", FILE, most=5)

    reason = "it has more than 5 instructions, which is more than its declared fields need"
    assert caught.value.reason == f"the pickle is not sound: {reason}"


COMPUTED = "<computed>"

# Which names a program asks for, whatever it does between; not all of them could be run.
NAMES: list[tuple[bytes, tuple[str, ...]]] = [
    (b"N.", ()),
    (b"cos\nsystem\n.", ("os.system",)),
    (b"cos\nsystem\ncos\nsystem\ncnumpy\ndtype\n.", ("os.system", "numpy.dtype")),
    (b"(ios\nsystem\n.", ("os.system",)),
    (b"c\xff\nb\n.", ("\\xff.b",)),
    (b"\x8c\x02os\x8c\x06system\x93.", ("os.system",)),
    (b"X\x02\0\0\0osU\x06system\x93.", ("os.system",)),
    (b"S'os'\nVsystem\n\x93.", ("os.system",)),
    (b"T\x02\0\0\0os\x8d\x06\0\0\0\0\0\0\0system\x93.", ("os.system",)),
    (b"B\x02\0\0\0osC\x06system\x93.", ("os.system",)),
    (b"\x8e\x02\0\0\0\0\0\0\0os\x96\x06\0\0\0\0\0\0\0system\x93.", ("os.system",)),
    (b"V\\u006fs\n\x8c\x01a\x93.", ("os.a",)),
    (b"\x8c\x02osq\x010\x8c\x06systemp7\n0h\x01g7\n\x93.", ("os.system",)),
    (b"\x8c\x02os\x940\x8c\x06system\x940h\0j\x01\0\0\0\x93.", ("os.system",)),
    (b"\x8c\x02osr\x01\0\0\0h\x01\x93.", ("os.os",)),
    (b"NN\x93.", (f"{COMPUTED}.{COMPUTED}",)),
    (b"K\x01\x8c\x01a\x93.", (f"{COMPUTED}.a",)),
    (b"U\x02os(K\x01t\x93.", (f"os.{COMPUTED}",)),
    (b"U\0U\x01a\x93.", (f"{COMPUTED}.a",)),
    (b"U\x01\xffU\x01a\x93.", ("\\xff.a",)),
    (b"U\x01mU\x03a.b\x93.", ("m:a.b",)),
    (b"X\0\x01\0\0%sU\x01a\x93." % (b"m" * 256), ("m" * 256 + ".a",)),
    (b"X\x01\x01\0\0%sU\x01a\x93." % (b"m" * 257), (f"{COMPUTED}.a",)),
    (b"c%s\na\n." % (b"m" * 257), ("m" * 256 + "....a",)),
    (utf8(b"\xff" * 200_000) + b"0cos\nsystem\n.", ("os.system",)),
    # A text stays where it is below what others take and give.
    *[
        (b"U\x02os" + between + b"U\x01a\x93.", ("os.a",))
        for between in (
            *(b"N0", b"(NN1", b"(N01", b"(K\x01K\x02t0", b"(l0", b"(d0", b"](e0", b"}(u0", b"]Na0", b"}NNs0", b"]Nb0"),
            *(
                b"NNR0",
                b"NN\x810",
                b"NNN\x920",
                b"N\x850",
                b"NN\x860",
                b"NNN\x870",
                b"(No0",
                b"(N\x910",
                b"\x8f(N\x900",
            ),
            *(b"\x88\x8900", b"I1\n0", b"L1L\n0", b"F1.5\n0", b"J\0\0\0\x000", b"M\0\x000", b"G\0\0\0\0\0\0\0\x000"),
            *(b"\x8a\x01\x010", b"\x8b\0\0\0\x000", b"\x80\x02", b"\x95\0\0\0\0\0\0\0\0", b"N200", b")0", b"]0", b"}0"),
        )
    ],
    (b"U\x02osPmarker\n0U\x01a\x93.", ("pickle.a persistent id", "os.a")),
    (b"U\x02osNQ0U\x01a\x93.", ("pickle.a persistent id", "os.a")),
    (b"U\x02os\x82\x070U\x01a\x93.", ("pickle.extension code 7", "os.a")),
    (b"U\x02os\x83\x07\x000U\x01a\x93.", ("pickle.extension code 7", "os.a")),
    (b"U\x02os\x970U\x01a\x93.", ("pickle.a buffer outside the pickle", "os.a")),
    (b"U\x02os\x98U\x01a\x93.", ("pickle.a buffer outside the pickle", "os.a")),
    (b"U\x02os(Nib\nc\n0U\x01a\x93.", ("b.c", "os.a")),
    (b"U\x02oscb\nc\n0U\x01a\x93.", ("b.c", "os.a")),
    (b"U\x02osNN\x930U\x01a\x93.", (f"{COMPUTED}.{COMPUTED}", "os.a")),
]


def test_the_names_that_a_program_asks_for() -> None:
    """Are found without anything being made, wherever its texts are."""
    for program, names in NAMES:
        for chunk in (1 << 20, 300):
            assert globals_of(by(chunk, program)) == names, program


def test_names_are_listed_up_to_a_bound() -> None:
    """A thousand names; a million instructions; twenty of what is refused."""
    many = b"".join(b"cm\na%d\n" % n for n in range(1001))
    thousand = many.replace(b"cm\na1000\n", b"")

    assert len(globals_of(thousand + b".")) == 1000
    with pytest.raises(DecodeError) as caught:
        globals_of(many + b".")
    assert str(caught.value) == "<bytes>: the pickle is not sound: it asks for more than 1,000 names"
    with pytest.raises(UnsafePickle) as unsafe:
        loaded(many + b".")
    assert unsafe.value.names == tuple(f"m.a{n}" for n in range(20))

    assert globals_of(b"K\x01" * 999_999 + b".") == ()
    with pytest.raises(DecodeError) as caught:
        globals_of(b"K\x01" * 1_000_000 + b".")
    assert str(caught.value) == "<bytes>: the pickle is not sound: it has more than 1,000,000 instructions"
    with pytest.raises(DecodeError) as caught:
        globals_of(b"N0h\x05.")
    assert str(caught.value) == f"<bytes>: the pickle is not sound: {DOES_NOT_FIT.format(2, b'h')}"


def test_names_are_listed_of_a_file(tmp_path: Path) -> None:
    """With its path in what is refused."""
    file = tmp_path / "x.pkl"
    file.write_bytes(b"cos\nsystem\n.")
    assert globals_of(file) == ("os.system",)
    file.write_bytes(b"N0")

    with pytest.raises(DecodeError) as caught:
        globals_of(file)

    assert str(caught.value) == f"{file}: the pickle is not sound: at byte 2, it is cut short"


def test_what_comes_after_a_refusal_is_listed_too() -> None:
    """As far as it can be read; the member is named."""
    for rest in (b"cb\nc\n.", b"cb\nc\n", b"0cb\nc\n\xff"):
        with pytest.raises(UnsafePickle) as caught:
            load(b"cos\nsystem\n" + rest, FILE, most=100, member="m")
        assert caught.value.names == ("os.system", "b.c")
        asks = "member 'm': the pickle asks for os.system, b.c, which no array of numbers needs; nothing was run"
        assert caught.value.reason == asks


def test_a_stream_that_fails_is_what_is_wrong() -> None:
    """In the middle of a text; unless something was refused before, which is."""

    def stream(*parts: bytes) -> Callable[[int], bytes]:
        left = iter(parts)

        def read(_: int) -> bytes:
            piece = next(left, None)
            if piece is None:
                raise DecodeError(FILE, "it is gone")
            return piece

        return read

    for program in (utf8(b"a" * 200_000), b"B" + struct.pack("<I", 9) + b"a"):
        with pytest.raises(DecodeError) as caught:
            load(stream(program[:100_000]), FILE, most=100)
        assert caught.value.reason == "it is gone"
    for rest in (b"cb\nc\n", b"cb\nc\nN"):
        with pytest.raises(UnsafePickle) as unsafe:
            load(stream(b"cos\nsystem\n", rest), FILE, most=100)
        assert unsafe.value.names == ("os.system", "b.c")


def test_a_name_that_is_bytes_is_refused() -> None:
    """STACK_GLOBAL takes texts alone, also for names that are allowed."""
    for program, name in [
        (b"U\x05numpyU\x05dtype\x93.", "numpy.dtype"),
        (b"U\x05numpy\x8c\x05dtype\x93.", "numpy.dtype"),
        (b"\x8c\x05numpyU\x05dtype\x93.", "numpy.dtype"),
        (b"\x8c\x02osN\x93.", "os.<computed>"),
        (b"N\x8c\x02os\x93.", "<computed>.os"),
        (b"U\x02o\xff\x8c\x02os\x93.", "o\\xff.os"),
    ]:
        with pytest.raises(UnsafePickle) as unsafe:
            loaded(program)
        assert unsafe.value.names == (name,)


def test_names_are_written_as_people_do() -> None:
    """A colon before a dotted name; what is computed, or too long, is said so."""
    long = "m" * 257

    assert global_name("a.b", "c") == "a.b.c"
    assert global_name("a", "b.c") == "a:b.c"
    assert (global_name("", "b"), global_name(None, None)) == ("<computed>.b", "<computed>.<computed>")
    assert global_name(long, long[1:]) == f"{long[1:]}....{long[1:]}"


def dtype(code: str = "u1", order: str = "|") -> Dtype:
    """A dtype as a pickle spells it."""
    made = bare(code)
    made.set_state((3, order, None, None, None, -1, -1, 0))
    return made


def bare(code: str) -> Dtype:
    """A dtype whose state is not there yet."""
    made = call("dtype", code, 0, 1)
    assert isinstance(made, Dtype)
    return made


def call(name: str, *args: Any, left: int = 0) -> Any:
    """What a name does, with nothing left to be spent, or its refusal."""
    (function,) = {held for (_, last), held in ALLOWED.items() if last == name}
    try:
        return function(Allowance(left), args)  # type: ignore[call-arg]
    except (BadPickle, UnsafeGlobal) as refused:
        return type(refused), str(refused)


def otherwise(what: str) -> tuple[type, str]:
    """What is said of what NumPy does not write."""
    return BadPickle, f"NumPy writes {what} otherwise"


def test_what_is_given_to_a_name_is_what_numpy_writes() -> None:
    """And nothing else."""
    args: tuple[Any, ...]
    of_dtype = otherwise("the arguments of numpy.dtype")
    for args in [(), ("u1",), ("u1", 0), ("u1", 0, 1, 2), ("u1", 1, 1), ("u1", 0, 0), ("u1", 0.0, 1), ("u1", 0, 1.0)]:
        assert call("dtype", *args) == of_dtype, args
    assert call("dtype", 1, 0, 1) == otherwise("what should be text")
    for args in [("u1", False, True), (b"u1", 0, 1)]:
        assert call("dtype", *args).value is None
    for code in ("<u1", ">u1", "|u1", "=u1", "O", "u3", "V4", "M8"):
        assert call("dtype", code, 0, 1) == (UnsafeGlobal, f"numpy.dtype {code!r}")

    of_array = otherwise("the arguments of _reconstruct")
    array = (NdarrayType, (0,), b"b")
    made = call("_reconstruct", *array)
    assert (made.dtype, made.shape) == (np.int8, (0,))
    assert call("_reconstruct", NdarrayType, (0,), "b").shape == (0,)
    for args in [
        (),
        array[:2],
        (*array, 1),
        (np.ndarray, (0,), b"b"),
        (NdarrayType, [0], b"b"),
        (NdarrayType, (), b"b"),
    ]:
        assert call("_reconstruct", *args) == of_array, args
    for args in [
        (NdarrayType, (0, 0), b"b"),
        (NdarrayType, (1,), b"b"),
        (NdarrayType, (0,), b"B"),
        (NdarrayType, (0,), 0),
    ]:
        assert call("_reconstruct", *args) == of_array, args

    assert call("bytes") == b""
    assert call("bytes", b"a") == otherwise("the arguments of bytes")

    of_scalar = otherwise("the arguments of scalar")
    assert (call("scalar", dtype(), b"a"), call("scalar", dtype("i2", ">"), b"\x01\0")) == (97, 256)
    assert [call("scalar", *args) for args in ((), (dtype(),), (dtype(), b"a", 1))] == [of_scalar] * 3

    of_encode = otherwise("the arguments of _codecs.encode")
    assert call("encode", "é", "latin1", left=1) == call("encode", "é", "latin-1", left=1) == b"\xe9"
    assert call("encode", Latin1Text(b"\xe9"), "latin1") == b"\xe9"
    for args in [(), ("a",), ("a", "latin1", 1), (b"a", "latin1"), ("a", "utf-8"), (None, "latin1")]:
        assert call("encode", *args, left=1) == of_encode, args
    assert call("encode", "€", "latin1", left=1) == (
        BadPickle,
        "the text for _codecs.encode is not bytes spelled as latin-1",
    )
    assert call("encode", "é", "latin1") == (
        BadPickle,
        "what it holds takes more than the 0 bytes that are allowed for it",
    )


def test_the_state_of_a_dtype_is_what_numpy_writes() -> None:
    """Once, and plain."""

    def state(*parts: Any, code: str = "i2") -> Any:
        made = bare(code)
        try:
            made.set_state(parts[0] if len(parts) == 1 else parts)
        except (BadPickle, UnsafeGlobal) as refused:
            return type(refused), str(refused)
        return made.value

    parts: Any
    of_state = otherwise("the state of a dtype")
    of_fields = (UnsafeGlobal, "numpy.dtype 'i2' with fields, a sub-array or metadata")
    rest = (None, None, None, -1, -1, 0)
    assert (state(3, "<", *rest), state(3, ">", *rest), state(4, b"<", *rest)) == ("<i2", ">i2", "<i2")
    assert state(3, "|", *rest, code="u1") == "u1"
    for parts in [([3, "<", *rest],), (3, "<", *rest[:-1]), (3, "<", *rest, 1, 2), (2, "<", *rest), (3.0, "<", *rest)]:
        assert state(*parts) == of_state, parts
    for at in range(2, 5):
        parts = [3, "<", *rest]
        parts[at] = ()
        assert state(*parts) == of_fields
    assert state(4, "<", *rest, {}) == of_fields
    assert state(3, 1, *rest) == otherwise("what should be text")
    for order in ("=", "|", "", "<<", "!"):
        assert state(3, order, *rest) == otherwise("the byte order of a dtype"), order
    twice = dtype()
    with pytest.raises(BadPickle, match=r"^NumPy writes the state of a dtype otherwise$"):
        twice.set_state((3, "|", *rest))


def test_the_state_of_an_array_is_what_numpy_writes() -> None:
    """Once, with exactly the bytes of its dtype and shape."""

    def state(*parts: Any, left: int = 1000, of: np.ndarray | None = None) -> Any:
        made, allowance = np.empty((0,), np.int8) if of is None else of, Allowance(left)
        try:
            set_array_state(made, parts[0] if len(parts) == 1 else parts, allowance)
        except (BadPickle, UnsafeGlobal) as refused:
            return type(refused), str(refused)
        return made.tolist(), made.flags.f_contiguous, left - allowance.left

    u1, i2 = dtype(), dtype("i2", ">")
    of_state, of_shape = otherwise("the state of an array"), otherwise("the shape of an array")
    assert state(1, (2, 2), u1, False, b"abcd") == ([[97, 98], [99, 100]], False, 4)
    assert state(1, (2, 2), u1, 1, b"abcd") == ([[97, 99], [98, 100]], True, 4)
    assert state(1, (2,), i2, 0, bytearray(b"\0\1\0\2")) == ([1, 2], True, 4)
    assert state(1, (1001,), u1, 0, bytes(1001))[2] == 0
    assert state(1, (1000,), u1, 0, bytes(1000))[2] == 1000
    assert state(1, (1001,), u1, 0, bytearray(1001), left=2000)[2] == 1001
    assert state(1, (501,), i2, 0, bytes(1002), left=2000)[2] == 1002
    for parts in [([1, (1,), u1, 0, b"a"],), (1, (1,), u1, 0), (1, (1,), u1, 0, b"a", 1), (2, (1,), u1, 0, b"a")]:
        assert state(*parts) == of_state, parts
    assert state(1, (1,), u1, None, b"a") == state(1, (1,), u1, 2, b"a") == of_state
    for of in (np.empty(1, np.int8), np.empty(0, np.uint8), np.empty((0, 0), np.int8)):
        assert state(1, (1,), u1, 0, b"a", of=of) == otherwise("an array whose state is set twice")
    for of_u1 in (bare("u1"), np.dtype("u1")):
        assert state(1, (1,), of_u1, 0, b"a") == otherwise("the dtype of an array")
    for shape in ([1], (1.0,), (True,), (-1,), (1,) * 33, (2**40,), (0, 2**40), (2**20, 0, 2**20)):
        assert state(1, shape, u1, 0, b"a") == of_shape, shape
    assert state(1, (1,) * 32, u1, 0, b"a")[2] == 1
    assert state(1, (2**40 - 1,), u1, 0, b"a") == (
        BadPickle,
        "an array of 1,099,511,627,775 bytes is stated, 1 are there",
    )
    assert state(1, (2**39,), i2, 0, b"a") == of_shape
    assert state(1, (0, 2**39), u1, 0, b"")[0] == []
    assert state(1, (1,), u1, 0, "a") == (UnsafeGlobal, "an array whose values are not bytes")
    assert state(1, (2,), dtype("b1"), 0, b"\0\1")[0] == [False, True]
    assert (
        state(1, (2,), dtype("b1"), 0, b"\0X")
        == state(1, (1,), dtype("b1"), 0, b"\2")
        == (BadPickle, "a bool is neither 0 nor 1")
    )


def test_the_buffer_of_an_array_is_what_numpy_writes() -> None:
    """Under protocol 5: bytes, dtype, shape, order, and the order of the axes if that is none of the usual two."""
    u1, i2 = dtype(), dtype("i2", ">")
    of_buffer, of_axes = otherwise("the arguments of _frombuffer"), otherwise("the order of axes in _frombuffer")
    data = np.arange(24, dtype="u1")

    orders: tuple[Literal["C"], Literal["F"]] = ("C", "F")
    for order in orders:
        made = call("_frombuffer", data.tobytes(), u1, (2, 12), order)
        np.testing.assert_array_equal(made, data.reshape((2, 12), order=order), strict=True)
    made = call("_frombuffer", bytearray(data.tobytes()), u1, (2, 3, 4), "K", (2, 0, 1))
    np.testing.assert_array_equal(made, data.reshape(2, 3, 4).transpose(2, 0, 1), strict=True)
    made = call("_frombuffer", b"\0\1\0\2", i2, (2,), "C", left=4)
    np.testing.assert_array_equal(made, np.array([1, 2], np.int16), strict=True)
    assert call("_frombuffer", b"\0\1\0\2", i2, (2,), "C", left=3)[0] is BadPickle
    made = call("_frombuffer", b"", dtype("f4", "<"), (0, 3), "C")
    np.testing.assert_array_equal(made, np.zeros((0, 3), np.float32), strict=True)
    for args in [(), (b"a", u1, (1,)), (b"a", u1, (1,), "C", (0,), 1), (b"a", u1, (1,), "A"), (b"a", u1, (1,), b"C")]:
        assert call("_frombuffer", *args) == of_buffer, args
    for axes in ([0, 1], (0,), (0, 0), (0, 2), (0, True), (1.0, 0), None):
        assert call("_frombuffer", b"ab", u1, (1, 2), "K", axes) == of_axes, axes
    assert call("_frombuffer", b"ab", u1, (1, 2), "K") == of_axes


def test_a_pickle_of_arrays_is_refused_at_every_cut() -> None:
    """Whatever its protocol, with a reason that says where."""
    for protocol in (0, 5):
        data = pickle.dumps({"a": np.arange(3, dtype="u1"), "b": [1, 2.5, "c"]}, protocol)
        for at in range(len(data)):
            with pytest.raises(DecodeError, match=r"^some\.pkl: the pickle is not sound: at byte [\d,]+, "):
                loaded(data[:at])


def test_long_lists_are_read_however_their_bytes_come() -> None:
    """Numbers, texts and memos in runs, at every place where a chunk may end."""
    value = [*range(20_000)] + [f"name {n}" for n in range(300)] + [f"name {n}" for n in range(300)]
    for protocol in (1, 2, 4):
        data = pickle.dumps(value, protocol)
        for chunk in (1 << 16, 999):
            assert load(by(chunk, data), FILE, most=300_000) == value


# A run of one instruction; what is on the stack before; what it costs, and what is on the stack and in the memo then.
RUNS: list[tuple[bytes, list[Any], int, list[Any], dict[int, Any]]] = [
    (b"K\x07", [], 16, [7], {}),
    (b"M\x07\x01", [], 48, [263], {}),
    (b"U\x03a\xffc", [], 64 + 3, [b"a\xffc"], {}),
    (b"U\x00", [], 64, [b""], {}),
    (b"\x8c\x03abc", [], 64 + 3, ["abc"], {}),
    (b"q\x09", [0, 1, 2], 144, [0, 1, 2], {9: 2}),
    (b"r\x01\x02\x03\x84", [0, 1, 2], 144, [0, 1, 2], {0x84030201: 2}),
    (b"\x94", [0, 1, 2], 144, [0, 1, 2], {0: 2}),
]


def test_a_run_of_short_instructions() -> None:
    """Each of them if it is there as a whole, may still be carried out, and can be paid for."""
    rest = b"\xff" * 257  # the longest of them
    made: dict[int, Any]
    for program, before, cost, after, memo in RUNS:
        for ahead in (b"", b"NNN"):
            stack, made = [*before], {}
            found = run(ahead + program + rest, len(ahead), stack, made, 10, cost)
            assert (found, stack, made) == (Run(len(program), 1, cost), after, memo), program
        stack, made = [*before], {}
        assert run(program + rest, 0, stack, made, 10, cost - 1) == (0, 0, 0)
        assert run(program + rest, 0, stack, made, 0, cost) == (0, 0, 0)
        assert run(program + rest[len(program) :], 0, stack, made, 10, cost) == (0, 0, 0)
        assert run(b"N" + program + rest, 0, stack, made, 10, cost) == (0, 0, 0)
        assert (stack, made) == (before, {})
        assert run(program + rest[len(program) - 1 :], 0, stack, made, 10, cost)[:2] == (len(program), 1)
        twice = [*before]
        assert run(program + program + rest, 0, twice, {}, 10, 2 * cost) == (2 * len(program), 2, 2 * cost)
        assert run(program + program + rest, 0, [*before], {}, 1, 2 * cost) == (len(program), 1, cost)
        assert run(program + program + rest, 0, [*before], {}, 10, 2 * cost - 1) == (len(program), 1, cost)
    for program in (b"q\x09", b"r\0\0\0\0", b"\x94", b"\x8c\x02\xc3\xa9"):
        assert run(program + rest, 0, [], {}, 10, 1000) == (0, 0, 0)
    made = {5: 0}
    run(b"\x94" + rest, 0, [3], made, 10, 1000)
    assert made == {5: 0, 1: 3}
