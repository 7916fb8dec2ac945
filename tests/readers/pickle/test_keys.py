"""What a loaded pickle has under a key or at a path, and how what it has not is refused."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.readers.pickle import (
    array,
    as_text,
    entry,
    load,
    load_dict,
    lookup,
    max_extra_bytes,
    max_instructions,
    text_keys,
)
from tinytorch_datasets.readers.pickle.packed import Row

FILE = Path("some.pkl")
X = np.arange(3)


def refusal(action: Callable[[], object]) -> tuple[str, str | None]:
    """The reason and the hint of what an action is refused with."""
    with pytest.raises(DecodeError) as caught:
        action()
    assert caught.value.path == FILE
    assert type(caught.value) is DecodeError
    return caught.value.reason, caught.value.hint


def test_what_is_at_a_path() -> None:
    """And how errors call it."""
    held = {"a": ([1, 2], {"b.c": 3, b"d": {"e": (4,)}}), "a.x": 5, b"f": Row([6, 7]), 8: 9}

    assert lookup(held, "", FILE) == (held, "its value")
    assert lookup(held, "", FILE, "m") == (held, "member 'm': its value")
    assert lookup(held, "a.0.1", FILE) == (2, "its 'a.0.1'")
    assert lookup(held, "a.1.b.c", FILE, "m") == (3, "member 'm': its 'a.1.b.c'")
    assert lookup(held, "a.1.d.e.0", FILE)[0] == 4
    assert lookup(held, "a.x", FILE)[0] == 5
    assert lookup(held, "f.1", FILE)[0] == 7
    assert lookup([[1, 2]], "0.1", FILE)[0] == 2
    many = [*range(11)]
    assert lookup({"a": {"b": {"c": many}}}, "a.b.c.10", FILE)[0] == 10


NO_PATH: list[tuple[Any, str, str]] = [
    ({"images": 1}, "imgaes", "it has no 'imgaes'; did you mean 'images'?"),
    ({"images": 1, "x": 2, 3: 4}, "k", "it has no 'k'; it has 'images', 'x'"),
    ({"images": {"x": 2}}, "images.k.y", "its 'images' has no 'k'; it has 'x'"),
    ({"a": {"b": {"c": 1}}}, "a.b.k", "its 'a.b' has no 'k'; it has 'c'"),
    ({"a": {"b.c": {"d": 1}}}, "a.b.c.k", "its 'a.b.c' has no 'k'; it has 'd'"),
    ({"a": 5}, "a.b", "its 'a' is a number, in which there is no 'b'"),
    (5, "b", "it is a number, in which there is no 'b'"),
    ([1] * 1000, "1000", "it is a list of 1,000, whose positions begin with 0; there is no '1000'"),
    (Row([1]), "1", "it is a list of 1, whose positions begin with 0; there is no '1'"),
    ((1,), "x", "it is a tuple of 1, whose positions begin with 0; there is no 'x'"),
    ((1,), "0" * 10, f"it is a tuple of 1, whose positions begin with 0; there is no '{'0' * 10}'"),
    ({"a": (1,)}, "a.-1", "its 'a' is a tuple of 1, whose positions begin with 0; there is no '-1'"),
    (
        {"a": {"b": 1, b"b": 2}},
        "a.b",
        "it has 'b' twice, as text and as bytes, with different values",
    ),
]


def test_what_is_not_at_a_path() -> None:
    """Is refused where the path ends."""
    assert lookup((7,), "0" * 9, FILE)[0] == 7
    for held, path, reason in NO_PATH:
        assert refusal(lambda held=held, path=path: lookup(held, path, FILE))[0] == reason  # type: ignore[misc]
        of_member = refusal(lambda held=held, path=path: lookup(held, path, FILE, "m"))[0]  # type: ignore[misc]
        assert of_member == f"member 'm': {reason}"


def test_what_is_under_a_key() -> None:
    """Of a dict, as it is."""
    held = {"data": 1, "x": 2, 3: 4}

    assert entry(held, "data", FILE) == (1, "its 'data'")
    assert entry(held, "x", FILE, "m") == (2, "member 'm': its 'x'")
    assert refusal(lambda: entry(held, "dtaa", FILE))[0] == "it has no 'dtaa'; did you mean 'data'?"
    assert refusal(lambda: entry(held, "k", FILE, "m"))[0] == "member 'm': it has no 'k'; it has 'data', 'x'"


SAME: list[tuple[Any, Any, bool]] = [
    (1, 1, True),
    (1, 2, False),
    (1, 1.0, False),
    (1, True, False),
    (None, None, True),
    ("a", "a", True),
    ("a", b"a", False),
    (b"a", b"a", True),
    (0.5, 0.5, True),
    ([1, "a"], [1, "a"], True),
    ([1], [2], False),
    ([1], (1,), False),
    ((1,), (1,), False),
    ({}, {}, False),
    (X, np.arange(3), True),
    (X, [0, 1, 2], False),
    ([0, 1, 2], X, False),
    (X, X.astype("i4"), False),
    (X, np.array([0, 1, 3]), False),
    (X, X.reshape(3, 1), False),
    (np.zeros(1, "i4"), np.zeros(1, "f4"), False),
]


def test_a_key_that_is_there_twice() -> None:
    """As text and as bytes: with one value, if that is sure, or none."""
    for one, other, is_same in SAME:
        held = {"k": one, b"k": other, b"j": 0, 1: 2}
        if is_same:
            assert list(text_keys(held, FILE)) == ["k", "j", 1]
            continue
        reason, hint = refusal(lambda held=held: text_keys(held, FILE))  # type: ignore[misc]
        assert reason == "it has 'k' twice, as text and as bytes, with different values", (one, other)
        assert hint == "Have whoever made it keep one of them."
    of_member = refusal(lambda: text_keys({"k": 1, b"k": 2}, FILE, "m"))[0]
    assert of_member == "member 'm': it has 'k' twice, as text and as bytes, with different values"


def test_a_dict_is_loaded() -> None:
    """Its keys as text; nothing else is one."""
    assert load_dict(pickle.dumps({b"a": 1, "b": b"c", b"\xe9": 2}), FILE, most=100) == {"a": 1, "b": b"c", "\xe9": 2}
    assert refusal(lambda: load_dict(b"(l.", FILE, most=100))[0] == "it holds a list, not a dict of arrays"
    of_member = refusal(lambda: load_dict(b"K\x01.", FILE, most=100, member="m"))[0]
    assert of_member == "member 'm': it holds a number, not a dict of arrays"
    assert refusal(lambda: load_dict(b"N.", FILE, most=100))[0] == "it holds None, not a dict of arrays"
    twice = pickle.dumps({b"a": 1, "a": 2})
    for member, inside in (("", ""), ("m", "member 'm': ")):
        reason = refusal(lambda member=member: load_dict(twice, FILE, most=100, member=member))[0]  # type: ignore[misc]
        assert reason == f"{inside}it has 'a' twice, as text and as bytes, with different values"
        reason = refusal(lambda member=member: load_dict(b"(l", FILE, most=100, member=member))[0]  # type: ignore[misc]
        assert reason == f"{inside}the pickle is not sound: at byte 2, it is cut short"
    least = 72 + 16 + 2 * 144 - (40 << 20)  # of an empty dict
    assert load_dict(b"}.", FILE, most=2, declared=least) == {}
    reason = refusal(lambda: load_dict(b"}.", FILE, most=2, declared=least - 1))[0]
    assert reason.startswith("the pickle is not sound: what it holds takes more than the 375 bytes")
    reason = refusal(lambda: load_dict(b"}.", FILE, most=1))[0]
    assert reason.endswith("it has more than 1 instructions, which is more than its declared fields need")


def test_what_is_declared_is_what_may_be_made() -> None:
    """The size of the pickle itself, if nothing is; of one that a function reads, nothing."""
    data = b"K\0."
    beside = 40 << 20

    def allowed(data: Any, **declared: Any) -> str:
        with pytest.raises(DecodeError) as caught:
            load(data, FILE, most=10**9, **declared)
        return caught.value.reason.removeprefix("the pickle is not sound: what it holds takes more than the ")

    many = b"X" + (7_000_003).to_bytes(4, "little") + "\u20ac".encode() + b"a" * 7_000_000  # eight bytes each
    assert allowed(many) == f"{beside + len(many):,} bytes that are allowed for it"
    assert allowed(bytearray(many)) == f"{beside + len(many):,} bytes that are allowed for it"
    assert allowed(io.BytesIO(many).read) == f"{beside:,} bytes that are allowed for it"
    assert allowed(many, declared=7) == f"{beside + 7:,} bytes that are allowed for it"
    assert load(data, FILE, most=2) == 0


def test_an_array_is_one_or_a_list_of_whole_numbers() -> None:
    """And nothing else."""
    assert array(X, FILE, "its x") is X
    made = array([1, 2], FILE, "its x")
    np.testing.assert_array_equal(made, np.array([1, 2], np.int64), strict=True)
    assert refusal(lambda: array((1,), FILE, "its x"))[0] == "its x is a tuple, not an array"
    reason = "its x is a list whose item 1 is not a whole number of 64 bits but a float"
    assert refusal(lambda: array([1, 2.5], FILE, "its x"))[0] == reason


def test_names_are_text() -> None:
    """Also those of Python 2, and those that are numbers."""
    assert (as_text(b"\xe9"), as_text("a"), as_text(5)) == ("\xe9", "a", "5")


def test_limits_grow_with_the_samples() -> None:
    """By 256 bytes and 16 instructions each."""
    assert [max_extra_bytes(n) for n in (0, 1, 10)] == [65_536, 65_792, 68_096]
    assert [max_instructions(n) for n in (0, 1, 10)] == [10_000, 10_016, 10_160]


def test_what_is_left_of_a_pickle_is_plain() -> None:
    """Shared values and lists that hold themselves are walked once; what stands for a name is refused."""
    shared = [1, [2, (3, {"a": (np.float64(4), None)})]]
    found = load(pickle.dumps([shared, shared, {"b": shared}]), FILE, most=100)
    assert found[0] is found[1] is found[2]["b"]
    assert found[0] == shared
    found = load(b"]q\0h\0a.", FILE, most=100)
    assert found[0] is found
    for program, what in [
        (b"cnumpy\nndarray\n.", "a type"),
        (b"]cnumpy\nndarray\na.", "a type"),
        (b"](cnumpy\nndarray\nNe.", "a type"),
        (b"(K\x01(cnumpy\nndarray\ntt.", "a type"),
        (b"}K\x01c_codecs\nencode\ns.", "a function"),
        (b"cnumpy\ndtype\n(U\x02u1K\0K\x01tR.", "a Dtype"),
    ]:
        reason = refusal(lambda program=program: load(program, FILE, most=100))[0]  # type: ignore[misc]
        assert reason == f"the pickle is not sound: {what} is left in what it holds"


def test_what_is_left_is_paid_for() -> None:
    """Each container while it is walked, and what they are all in; each long text once more as text."""
    long = b"X" + (200_000).to_bytes(4, "little") + b"a" * 200_000
    for program, cost in [
        (b"](]]]e.", 5 * 72 + 16 + 16 + 5 * 144),
        (b"](]q\0h\0h\0e.", 3 * 72 + 144 + 3 * 16 + 16 + 3 * 144),
        (b"]" + long + b"a.", 72 + 64 + 200_000 + 16 + 16 + 2 * 144 + 200_000),
        (b"}N" + long + b"s.", 72 + 16 + 64 + 200_000 + 144 + 64 * 2 + 16 + 2 * 144 + 200_000),
        (long + b".", 64 + 200_000 + 16 + 200_000 + 144),
    ]:
        load(program, FILE, most=100, declared=cost - (40 << 20))
        with pytest.raises(DecodeError) as caught:
            load(program, FILE, most=100, declared=cost - 1 - (40 << 20))
        allowed = f"the {cost - 1:,} bytes that are allowed for it"
        assert caught.value.reason == f"the pickle is not sound: what it holds takes more than {allowed}"
