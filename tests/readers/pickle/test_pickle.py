"""Pickles are read, never run."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import pickle
import pickletools
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.format_writers import memory_below, put
from tests.helpers.yardstick import soon
from tinytorch_datasets.errors import DecodeError, UnsafePickle
from tinytorch_datasets.readers.pickle import BYTES_BESIDE, globals_of, load, load_dict
from tinytorch_datasets.readers.pickle import machine as pickle_machine
from tinytorch_datasets.readers.pickle.machine import Machine
from tinytorch_datasets.readers.pickle.numpy_globals import ALLOWED, UnsafeGlobal
from tinytorch_datasets.readers.pickle.opcodes import BadPickle
from tinytorch_datasets.readers.pickle.values import Run

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("*.pkl"))
FILE = Path("some.pkl")
MEBIBYTES = 8


def newer(path: Path) -> bool:
    """Whether a newer NumPy wrote it: `pickle` then cannot read it, while we can (test_formats_golden.py)."""
    version = path.stem.split("numpy")[1].partition("-")[0]
    return bool(np.lib.NumpyVersion(np.__version__) < version)


def loaded(data: bytes, most: int = 10_000) -> Any:
    """What the pickle holds."""
    return load(data, FILE, most=most)


def equal(one: Any, other: Any) -> bool:
    """Equal in type and value, arrays in dtype, shape and layout too; `one` in this machine's byte order always."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        other = other.astype(other.dtype.newbyteorder("="))
        alike = (one.dtype, one.shape, one.flags.f_contiguous) == (other.dtype, other.shape, other.flags.f_contiguous)
        return alike and bool((one == other).all())
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


class TestRealFiles:
    """What Python and NumPy of any age wrote is read as `pickle` reads it."""

    @pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
    @pytest.mark.parametrize("path", [p for p in GOLDEN if not newer(p)], ids=lambda p: p.stem)
    def test_golden_files_load_as_pickle_loads_them(self, path: Path) -> None:
        """Protocols 0 to 5, Python 2.7 to 3.13, NumPy 1.13 to 2.4; we know what is in these."""
        data = path.read_bytes()

        assert equal(load(data, path, most=10_000), pickle.loads(data, encoding="bytes"))

    @pytest.mark.parametrize(
        "value",
        [
            {"a": [1, -1, 255, 256, 65536, -(2**31), 2**63 - 1], "b": (), "c": ((), (1,), (1, 2), (1, 2, 3, 4))},
            [None, True, False, 1.5, math.inf, "", "caf\u00e9 \\ \n \U0001f600", "x" * 300, b"", b"\0\xff'\"\\\n" * 99],
            {1: {2: {3: []}}, None: 0, 2.5: 1},
            np.float64(0.1),
            np.array(3),
            np.arange(24, dtype="<u2").reshape(2, 3, 4)[:, ::2],
            np.zeros((0, 5), ">f4"),
            np.array(["ab", "c\u00e9"]),
            np.array([b"ab", b"c"]),
            np.array([1 + 2j]),
        ],
        ids=repr,
    )
    def test_plain_values_come_back(self, value: Any) -> None:
        """Whatever the protocol."""
        for protocol in range(6):
            data = pickle.dumps(value, protocol)

            assert equal(loaded(data), pickle.loads(data)), protocol

    @pytest.mark.parametrize("protocol", [0, 2, 5])  # 1 writes as 0 does, 3 and 4 as 2 does
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("code", [">f4", ">c16", ">U3"])
    def test_the_other_byte_order_is_turned_round(self, code: str, order: Literal["C", "F"], protocol: int) -> None:
        """Whatever the protocol, values come in this machine's order; protocol 5 writes arrays in a way of its own."""
        for shape in ((3, 4), (0, 4)):
            values = np.array(np.arange(math.prod(shape)).reshape(shape).astype(code), order=order)
            found = loaded(pickle.dumps(values, protocol))

            assert equal(found, np.array(values.astype(values.dtype.newbyteorder("=")), order=order))

    def test_shared_values_stay_shared(self) -> None:
        """One array under two keys is one array."""
        array = np.arange(3)
        found = loaded(pickle.dumps({"a": array, "b": array}))

        assert found["a"] is found["b"]

    def test_the_allowed_names_are_those_of_the_real_files(self) -> None:
        """No name is allowed that no writer writes."""
        names = {name for path in GOLDEN for name in globals_of(path)}

        assert names == {f"{module}.{name}" for module, name in ALLOWED}


# Calls that would leave a file behind, each under every way that a pickle has to make a call.
TOUCH = b"touch marker"


def reducing(module: str, name: str, *args: Any) -> bytes:
    """GLOBAL, then REDUCE."""
    return b"c%b\n%b\n%bR." % (module.encode(), name.encode(), pickle.dumps(args, 0)[:-1])


def stack_global(module: str, name: str, *args: Any) -> bytes:
    """STACK_GLOBAL, then REDUCE."""
    words = b"".join(b"\x8c%c%b" % (len(word), word.encode()) for word in (module, name))
    return b"\x80\x04%b\x93%bR." % (words, pickle.dumps(args, 2)[2:-1])


def built(
    dtype: bytes = b"X\x02\0\0\0u1", shape: bytes = b"K\x03\x85", state: bytes = b"C\x03abc", order: bytes = b"|"
) -> bytes:
    """An array as NumPy pickles it, of parts that may be swapped for worse."""
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\n"
        + dtype
        + b"K\0K\x01\x87R(K\x03U\x01"
        + order
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"
        + state
        + b"tb."
    )


class Hidden:
    """An object that calls os.system when unpickled."""

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (TOUCH.decode(),)


MASKED = ("numpy.ma.core._mareconstruct", f"{np.ma.MaskedArray.__module__}.MaskedArray")

UNSAFE: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "os.system": (reducing("os", "system", "touch marker"), ("os.system",)),
    "posix.system": (reducing("posix", "system", "touch marker"), ("posix.system",)),
    "subprocess": (reducing("subprocess", "check_output", ["touch", "marker"]), ("subprocess.check_output",)),
    "eval": (reducing("builtins", "eval", "open('marker', 'w')"), ("builtins.eval",)),
    "eval of Python 2": (reducing("__builtin__", "eval", "open('marker', 'w')"), ("__builtin__.eval",)),
    "open": (reducing("builtins", "open", "marker", "w"), ("builtins.open",)),
    "getattr": (reducing("builtins", "getattr", 1, "real"), ("builtins.getattr",)),
    "numpy's loadtxt": (reducing("numpy", "save", "marker", 1), ("numpy.save",)),
    "numpy's runstring": (
        reducing("numpy.testing._private.utils", "runstring", "1", {}),
        ("numpy.testing._private.utils.runstring",),
    ),
    "numpy.core, but another name": (
        reducing("numpy.core.multiarray", "fromfile", "x"),
        ("numpy.core.multiarray.fromfile",),
    ),
    "a module below an allowed one": (reducing("numpy.dtype", "x"), ("numpy.dtype.x",)),
    "stack global": (stack_global("os", "system", "touch marker"), ("os.system",)),
    "a dotted name": (stack_global("numpy", "dtype.__class__", "x"), ("numpy:dtype.__class__",)),
    "a dotted name that spells an allowed one": (
        stack_global("numpy", "core.multiarray._reconstruct", 1),
        ("numpy:core.multiarray._reconstruct",),
    ),
    "names that are computed": (b"\x80\x04\x8c\x02os]\x93.", ("os.<computed>",)),
    "instance": (b"(S'touch marker'\nios\nsystem\n.", ("os.system",)),
    "object": (b"(cos\nsystem\nS'touch marker'\no.", ("os.system",)),
    "new object": (b"\x80\x02cos\nsystem\nU\x0ctouch marker\x85\x81.", ("os.system",)),
    "new object of an allowed name": (b"\x80\x02cnumpy\nndarray\nK\x01\x85\x81.", ("instruction b'\\x81'",)),
    "new object with keywords": (b"\x80\x04cnumpy\nndarray\n)}\x92.", ("instruction b'\\x92'",)),
    "persistent id": (b"Pmarker\n.", ("pickle.a persistent id",)),
    "binary persistent id": (b"U\x06markerQ.", ("pickle.a persistent id",)),
    "extension code": (b"\x80\x02\x82\x01.", ("pickle.extension code 1",)),
    "large extension code": (b"\x80\x02\x84\xff\xff\xff\x7f.", ("pickle.extension code 2147483647",)),
    "buffer outside": (b"\x80\x05\x97.", ("pickle.a buffer outside the pickle",)),
    "hidden in a container": (pickle.dumps({"images": np.arange(3), "x": [(1, Hidden())]}), ("posix.system",)),
    "several": (b"cos\nsystem\n0cnumpy\ndtype\n0cbuiltins\nexec\n0N.", ("os.system", "builtins.exec")),
    "object array": (pickle.dumps(np.array([1, None], object)), ("numpy.dtype 'O8'",)),
    "object array of hidden calls": (
        pickle.dumps(np.array([Hidden()], object)),
        ("numpy.dtype 'O8'", "posix.system"),
    ),
    "object array in a dict": (pickle.dumps({"a": [np.array([[]], object)]}, 2), ("numpy.dtype 'O8'",)),
    "object array under protocol 5": (pickle.dumps(np.array([None], object), 5), ("numpy.dtype 'O8'",)),
    "objects in a structure": (pickle.dumps(np.zeros(2, [("a", "i4"), ("b", "O")])), ("numpy.dtype 'V12'",)),
    "a structure": (pickle.dumps(np.zeros(2, "i4,i4")), ("numpy.dtype 'V8'",)),
    "dates": (pickle.dumps(np.zeros(2, "M8[s]")), ("numpy.dtype 'M8'",)),
    "an object scalar": (
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02O8K\0K\x01\x87RU\x08aaaaaaaa\x86R.",
        ("numpy.dtype 'O8'",),
    ),
    "fields behind a plain dtype": (
        built().replace(b"|NNN", b"|NU\x01a\x85}"),
        ("numpy.dtype 'u1' with fields, a sub-array or metadata",),
    ),
    "a huge item": (built(dtype=b"X\x07\0\0\0S999999"), ("numpy.dtype 'S999999'",)),
    "a list of values": (built(state=b"]K\x01aK\x02aK\x03a"), ("an array whose values are not bytes",)),
    "a masked array": (pickle.dumps(np.ma.masked_array([1, 2])), MASKED),
    "a set": (pickle.dumps({1, 2}, 4), ("instruction b'\\x8f'",)),
    "a class": (pickle.dumps(DecodeError), ("tinytorch_datasets.errors.DecodeError",)),
}


class TestUnsafe:
    """Whatever is no array of plain numbers is refused by its name, and nothing runs."""

    @pytest.mark.parametrize(("data", "names"), UNSAFE.values(), ids=UNSAFE)
    def test_it_is_refused_by_name(
        self, data: bytes, names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error lists all that was asked for; no file appears, and no module is imported for it."""
        monkeypatch.chdir(tmp_path)
        modules = set(sys.modules)

        with pytest.raises(UnsafePickle) as caught:
            loaded(data)

        asks = f"some.pkl: the pickle asks for {', '.join(names)}, which no array of numbers needs; nothing was run"
        assert str(caught.value) == (
            f"{asks}\n"
            "  Have whoever made it save its arrays as NPZ, and declare that file; do not load this one by other means."
        )
        assert caught.value.names == names
        assert not list(tmp_path.iterdir())
        assert set(sys.modules) - modules <= {"encodings.raw_unicode_escape"}

    def test_the_marker_would_appear(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The hostile pickles above are real: `pickle` runs them."""
        monkeypatch.chdir(tmp_path)

        pickle.loads(UNSAFE["hidden in a container"][0])
        pickle.loads(UNSAFE["stack global"][0])

        assert (tmp_path / "marker").exists()

    def test_the_twin_of_the_swapped_parts_loads(self) -> None:
        """So that the array built by hand is refused for its fault alone."""
        np.testing.assert_array_equal(loaded(built()), np.frombuffer(b"abc", "u1"), strict=True)


DEEP = 5_000

DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "at byte 0, it is cut short"),
    "no end": (b"}", "at byte 1, it is cut short"),
    "cut in a number": (b"J\0", "at byte 2, it is cut short"),
    "cut in a length": (b"X\0", "at byte 2, it is cut short"),
    "something behind": (b"N.more", "at byte 2, 4 bytes follow its end"),
    "an unknown instruction": (b"\xff.", "at byte 0, b'\\xff' is not an instruction"),
    "an unknown protocol": (b"\x80\x09N.", "its protocol is 9; 0 to 5 are known"),
    "a line without an end": (b"I12", "at byte 0, a line without an end"),
    "an empty stack": (b".", "it does not end with one value"),
    "two values": (b"NN.", "it does not end with one value"),
    "an open mark": (b"(N.", "it does not end with one value"),
    "nothing to pop": (b"0N.", "at byte 0, instruction b'0' does not fit what came before"),
    "a tuple of nothing": (b"\x87.", "at byte 0, instruction b'\\x87' does not fit what came before"),
    "no such memo": (b"h\x07.", "at byte 0, instruction b'h' does not fit what came before"),
    "append to a tuple": (b")Na.", "at byte 2, instruction b'a' does not fit what came before"),
    "a key without a value": (b"}(Nu.", "at byte 3, instruction b'u' does not fit what came before"),
    "a list as a key": (b"}]Ns.", "at byte 3, instruction b's' does not fit what came before"),
    "a deep tuple as a key": (
        b"})" + b"\x85" * DEEP + b"Ns.",
        f"at byte {DEEP + 3:,}, instruction b's' does not fit what came before",
    ),
    "a name left over": (b"cnumpy\nndarray\n.", "a type is left in what it holds"),
    "a function left over": (b"c_codecs\nencode\n\x85.", "a function is left in what it holds"),
    "a number that calls": (b"K\x01)R.", "at byte 3, instruction b'R' does not fit what came before"),
    "a class that calls": (b"cnumpy\nndarray\n)R.", "at byte 16, instruction b'R' does not fit what came before"),
    "state of a list": (b"]Nb.", "at byte 2, instruction b'b' does not fit what came before"),
    "LONG_BINPUT of 4 billion": (b"Nr\xff\xff\xff\xff0.", "it does not end with one value"),
    "BINBYTES of 4 GB": (b"B\xff\xff\xff\xff.", "at byte 0, 4,294,967,295 bytes are stated, 1 are left"),
    "BINBYTES8 of an exabyte": (
        b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".",
        "at byte 2, 1,152,921,504,606,846,976 bytes are stated, 1 are left",
    ),
    "BYTEARRAY8 of an exabyte": (
        b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b".",
        "at byte 2, 1,152,921,504,606,846,976 bytes are stated, 1 are left",
    ),
    "BINSTRING of less than nothing": (b"T\xff\xff\xff\xff.", "at byte 0, -1 bytes are stated"),
    "LONG4 of 2 GB": (b"\x8b\xff\xff\xff\x7f.", "at byte 0, 2,147,483,647 bytes are stated, 1 are left"),
    "a frame of an exabyte": (
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
        "at byte 2, a frame of 1,152,921,504,606,846,976 bytes is stated, 2 are left",
    ),
    "a number of a million digits": (
        b"I" + b"9" * 10**6 + b"\n.",
        "not a whole number, or one of too many digits",
    ),
    "a long of a million bytes": (
        b"\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6 + b".",
        "a whole number of more than 64 bits",
    ),
    "a lone surrogate": (b"X\x03\0\0\0\xed\xa0\x80.", "at byte 0, instruction b'X' does not fit what came before"),
    "a lone surrogate in protocol 0": (b"V\\ud800\n.", "at byte 0, instruction b'V' does not fit what came before"),
    "a string without quotes": (b"Sabc\n.", "a string without its quotes"),
    "an escape of no repr": (b"S'\\d'\n.", "a string with an escape that repr() does not write"),
    "a million dicts": (
        b"}" * 10**6 + b".",
        "it has more than 10,000 instructions, which is more than its declared fields need",
    ),
    "a shape of an exabyte": (
        built(shape=b"\x8a\x08" + b"\xff" * 7 + b"\x0f\x85"),
        "NumPy writes the shape of an array otherwise",
    ),
    "a huge shape with a zero": (
        built(shape=b"K\0\x8a\x08" + b"\xff" * 7 + b"\x7f\x86", state=b"C\0"),
        "NumPy writes the shape of an array otherwise",
    ),
    "a shape of 2 GB": (
        built(shape=b"J\xff\xff\xff\x7f\x85"),
        "an array of 2,147,483,647 bytes is stated, 3 are there",
    ),
    "a negative shape": (built(shape=b"J\xff\xff\xff\xff\x85"), "NumPy writes the shape of an array otherwise"),
    "a shape of a bool": (built(shape=b"\x88\x85"), "NumPy writes the shape of an array otherwise"),
    "bytes missing": (built(state=b"C\x02ab"), "an array of 3 bytes is stated, 2 are there"),
    "bytes too many": (built(state=b"C\x04abcd"), "an array of 3 bytes is stated, 4 are there"),
    "a bool that is 2": (built(dtype=b"X\x02\0\0\0b1"), "a bool is neither 0 nor 1"),
    "no byte order": (built(order=b"!"), "NumPy writes the byte order of a dtype otherwise"),
    "a byte order that says nothing": (
        built(dtype=b"X\x02\0\0\0i2", shape=b"K\x01\x85", state=b"C\x02ab"),
        "NumPy writes the byte order of a dtype otherwise",
    ),
    "_reconstruct of a huge shape": (
        built().replace(b"ndarray\nK\0\x85", b"ndarray\nJ\xff\xff\xff\x7f\x85"),
        "NumPy writes the arguments of _reconstruct otherwise",
    ),
    "an array for a shape": (
        built().replace(b"K\0\x85C\x01b", built()[2:-1] + b"C\x01b"),
        "NumPy writes the arguments of _reconstruct otherwise",
    ),
}


class TestDamaged:
    """What is no sound pickle is refused in words that say where, before anything large is made."""

    @pytest.mark.parametrize(("data", "reason"), DAMAGED.values(), ids=DAMAGED)
    def test_it_is_refused(self, data: bytes, reason: str) -> None:
        """Soon, and in little memory."""
        with soon(clock=time.perf_counter), pytest.raises(DecodeError) as caught, memory_below(MEBIBYTES):
            loaded(data)

        assert str(caught.value) == f"some.pkl: the pickle is not sound: {reason}"
        assert type(caught.value) is DecodeError

    def test_one_array_cannot_be_made_a_thousand_times(self) -> None:
        """A megabyte that a pickle has once, in the other byte order, is turned round a bounded number of times."""
        parts: dict[str, bytes] = {"dtype": b"X\x02\0\0\0i2", "shape": b"J\0\0\x08\0\x85", "order": b">"}
        start = built(**parts, state=b"B\0\0\x10\0" + bytes(1 << 20) + b"q\x01")[:-1]
        self._of_a_thousand(start, built(**parts, state=b"h\x01")[2:-1])

    def test_nor_one_of_protocol_5(self) -> None:
        """Which makes arrays of bytes by a function."""
        few = b"\x80\x05" + pickle.dumps(np.zeros(3, ">i2"), 5)[11:]  # without the frame
        start = few.replace(b"\x96\x06" + bytes(13), b"\x96\0\0\x10\0\0\0\0\0" + bytes(1 << 20))
        start = start.replace(b"K\x03\x85", b"J\0\0\x08\0\x85")[:-1]
        self._of_a_thousand(start, b"h\x02h\x0eR")

    def _of_a_thousand(self, start: bytes, again: bytes) -> None:
        assert loaded(start + b"0" + again + b".").nbytes == 1 << 20
        data = start + (b"0" + again) * 1000 + b"."

        with pytest.raises(DecodeError) as caught, memory_below(8):
            loaded(data, most=10**6)

        allowed = f"{len(data) + BYTES_BESIDE:,}"
        assert caught.value.reason == (
            f"the pickle is not sound: what it holds takes more than the {allowed} bytes that are allowed for it"
        )

    @pytest.mark.parametrize("protocol", range(6))
    def test_every_cut_is_an_error(self, protocol: int) -> None:
        """At each byte of a pickle, whatever is lost."""
        data = pickle.dumps({"images": np.arange(6, dtype="u1").reshape(3, 2), "labels": [0, 1, 2]}, protocol)

        for at in range(len(data)):
            with pytest.raises(DecodeError):
                loaded(data[:at])

    @pytest.mark.parametrize(
        ("path", "each"),
        [
            pytest.param(path, each, id=f"{path.stem}-{each}", marks=() if each == 1 and at % 2 else pytest.mark.slow)
            for at, path in enumerate(GOLDEN[::8])
            for each in (1, 3)
        ],
    )
    def test_any_changed_byte_is_an_error_or_another_plain_value(self, path: Path, each: int) -> None:
        """Nothing but our own errors comes out, whichever byte is turned into its opposite, 0, or a full stop.

        Each into all three where there is time, or else in turn into one of them.
        """
        data = path.read_bytes()

        for at in range(len(data)):
            others = (data[at] ^ 0xFF, 0, ord("."))
            for byte in (others[at % 3],) if each == 1 else others:
                with contextlib.suppress(DecodeError):
                    loaded(data[:at] + bytes([byte]) + data[at + 1 :])


class TestGlobalsOf:
    """What a pickle asks for is listed without loading it."""

    def test_of_a_harmless_one(self, tmp_path: Path) -> None:
        """In the order they first appear."""
        file = put(tmp_path / "a.pkl", pickle.dumps({"a": np.arange(3), "b": np.arange(3)}, 2))
        core = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"

        assert globals_of(file) == (f"{core}.multiarray._reconstruct", "numpy.ndarray", "_codecs.encode", "numpy.dtype")

    def test_of_numbers_alone(self) -> None:
        """They need none."""
        assert globals_of(pickle.dumps({"a": [1, 2.0, "x", b"y", None]})) == ()

    @pytest.mark.parametrize(
        "name", [n for n, (_, names) in UNSAFE.items() if "." in names[0] and "dtype" not in names[0]]
    )
    def test_of_a_hostile_one(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All of it, and nothing runs."""
        monkeypatch.chdir(tmp_path)
        data, names = UNSAFE[name]

        assert set(names) <= set(globals_of(data))
        assert not list(tmp_path.iterdir())

    # pickletools itself cannot read the bytes in a Python 2 string of protocol 0.
    @pytest.mark.parametrize("path", [p for p in GOLDEN if "py2.7-numpy1.16.6-p0" not in p.name], ids=lambda p: p.stem)
    def test_as_pickletools_sees_it(self, path: Path) -> None:
        """GLOBAL has its names with it; another reader of the same instructions finds the same."""
        data = path.read_bytes()
        plain = {str(arg).replace(" ", ".") for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"}

        assert plain <= set(globals_of(data))
        assert plain == set(globals_of(data)) or data[1] >= 4

    def test_a_compressed_file_is_no_pickle(self) -> None:
        """It says so instead of listing nothing."""
        with pytest.raises(DecodeError) as caught:
            globals_of(gzip.compress(b"N."))

        assert str(caught.value) == "<bytes>: the pickle is not sound: at byte 0, b'\\x1f' is not an instruction"


# The instructions that come in runs, whole and cut short, and some that end a run.
RUNS = st.one_of(
    st.builds(b"K%c".__mod__, st.integers(0, 255)),
    st.builds(lambda number: b"M" + struct.pack("<H", number), st.integers(0, 2**16 - 1)),
    st.builds(lambda text: b"U%c%s" % (len(text), text), st.binary(max_size=255)),
    st.builds(lambda text: b"\x8c%c%s" % (len(text), text), st.text(max_size=60).map(str.encode)),
    st.builds(lambda text: b"\x8c%c%s" % (len(text), text), st.binary(max_size=4)),
    st.builds(b"q%c".__mod__, st.integers(0, 255)),
    st.builds(lambda slot: b"r" + struct.pack("<I", slot), st.integers(0, 2**32 - 1)),
    st.builds(b"h%c".__mod__, st.integers(0, 3)),
    st.sampled_from(
        [b"\x94", b"(", b"]", b"e", b"a", b"l", b"0", b"U", b"K", b"M\x01", b"\x8c\xff", b"cos\nsystem\n", b"N."]
    ),
)


class TestRuns:
    """Short instructions are carried out many at once, and that can be seen by nothing but the time."""

    def outcome(self, data: bytes, most: int, allowed: int, chunk: int) -> tuple[object, ...]:
        """What comes of a program: what it makes, what that took, and what was wrong with it."""
        at = 0

        def read(_: int) -> bytes:
            nonlocal at
            at += chunk
            return data[at - chunk : at]

        machine = Machine(read, most, allowed - BYTES_BESIDE)
        try:
            result = repr(machine.run())
        except (BadPickle, UnsafeGlobal) as error:
            names = machine.list_refused() if isinstance(error, UnsafeGlobal) else ()
            return str(error), names
        return result, machine.allowance.left, machine._left, repr(machine._memo)

    def same_as_one_by_one(self, parts: list[bytes], most: int, allowed: int, chunk: int) -> None:
        """The same values, memos, count and cost; the same refusals, with the same names."""
        data = b"(" + b"".join(parts) + b"l." + bytes(300)  # so that what comes before is not the file's last
        for program in (data, data[:-300]):
            together = self.outcome(program, most, allowed, chunk)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pickle_machine, "run", lambda *_: Run(0, 0, 0))
                assert self.outcome(program, most, allowed, chunk) == together

    programs = given(
        parts=st.lists(RUNS, max_size=60),
        most=st.integers(0, 80),
        allowed=st.integers(0, 6000),
        chunk=st.sampled_from([1, 100, 300, 1000, 10**6]),
    )
    test_what_comes_of_it_is_the_same_as_one_by_one = settings(deadline=None, max_examples=40)(
        programs(same_as_one_by_one)
    )
    test_and_of_many_more = pytest.mark.slow(settings(deadline=None, max_examples=800)(programs(same_as_one_by_one)))

    def test_a_run_is_paid_for_to_the_byte(self) -> None:
        """What is allowed for is read; a byte less is not enough."""
        data = b"(" + b"U\x02hiq\x01" * 1000 + b"K\x07" * 1000 + b"l."
        machine = Machine(data, 10_000, 0)
        machine.run()
        cost = BYTES_BESIDE - machine.allowance.left

        assert len(Machine(data, 10_000, cost - BYTES_BESIDE).run()) == 2000
        with pytest.raises(BadPickle, match=r"bytes that are allowed for it$"):
            Machine(data, 10_000, cost - BYTES_BESIDE - 1).run()

    def test_a_run_is_counted_to_the_instruction(self) -> None:
        """As many as are allowed are carried out, and not one more."""
        data = b"(" + b"K\x07" * 5000 + b"l."

        assert Machine(data, 5003, 0).run() == [7] * 5000
        with pytest.raises(BadPickle, match=r"^it has more than 5,002 instructions"):
            Machine(data, 5002, 0).run()


@pytest.mark.parametrize(
    ("other", "is_refused"), [(np.arange(3), True), (np.array([1, 3]), True), (np.array([1, 2]), False)]
)
def test_a_key_as_text_and_as_bytes(tmp_path: Path, other: np.ndarray, is_refused: bool) -> None:
    """Two values of one name are never one of the two; twice the same value is."""
    data = pickle.dumps({"data": np.array([1, 2]), b"data": other if is_refused else np.array([1, 2])})
    if not is_refused:
        assert load_dict(data, tmp_path / "x.pkl", most=1000)["data"].tolist() == [1, 2]
        return
    with pytest.raises(DecodeError) as caught:
        load_dict(data, tmp_path / "x.pkl", most=1000)

    assert caught.value.reason == "it has 'data' twice, as text and as bytes, with different values"
