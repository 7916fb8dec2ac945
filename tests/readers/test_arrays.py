"""Arrays as they are stored and as they are declared: axes of length one, labels of any kind, texts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import CLASSES, column, idx, npy, npz, put, read, split
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.formats import of

WRITERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "npy": npy,
    "npz": lambda values: npz(images=values),
    "pickle": lambda values: pickle.dumps({"images": values}),
}
every = pytest.mark.parametrize("form", WRITERS)


def stored(form: str, values: np.ndarray, folder: Path, **declared: Any) -> Any:
    """What comes back of an array that NumPy wrote, declared so."""
    file = put(folder / "data", WRITERS[form](values))
    return read(form, split(column(file, **declared)))["train.images"]


class TestAxesOfLengthOne:
    """An array that is as declared but for axes of length one is given as declared."""

    @every
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize(
        ("shape", "samples", "declared"),
        [
            ((6, 1), 6, ()),
            ((1, 6), 6, ()),
            ((1, 6, 1), 6, ()),
            ((6,), 6, (1,)),
            ((6, 4, 5, 1), 6, (4, 5)),
            ((6, 4, 5), 6, (1, 4, 5)),
            ((6, 1, 4, 1, 5), 6, (4, 5)),
            ((1, 6, 4), 6, (4,)),
            ((4,), 1, (4,)),
            ((4, 5), 1, (4, 5, 1)),
            ((1, 1), 1, ()),
        ],
    )
    def test_the_shape_is_the_declared_one(
        self, form: str, order: str, shape: tuple[int, ...], samples: int, declared: tuple[int, ...], tmp_path: Path
    ) -> None:
        """And the values are those that NumPy's own reshape gives, whichever axis is innermost on disk."""
        values = np.asarray(np.arange(np.prod(shape), dtype="u1").reshape(shape), order=order)  # type: ignore[call-overload]

        found = stored(form, values, tmp_path, samples=samples, shape=declared)

        np.testing.assert_array_equal(found, values.reshape(samples, *declared), strict=True)

    def test_idx_too(self, tmp_path: Path) -> None:
        """Every header that states a shape is read alike."""
        values = np.arange(6, dtype="u1").reshape(6, 1)
        file = put(tmp_path / "data", idx(values))

        found = read("idx", split(column(file, samples=6)))["train.images"]

        np.testing.assert_array_equal(found, np.arange(6, dtype="u1"), strict=True)

    @every
    @pytest.mark.parametrize("shape", [(6, 2), (2, 6), (3, 2), (2, 3), (1, 7), (7, 1), (2, 6, 1)])
    def test_other_axes_are_not_dropped(self, form: str, shape: tuple[int, ...], tmp_path: Path) -> None:
        """Three by two are not six samples, though they are as many numbers."""
        try:
            found = stored(form, np.zeros(shape, "u1"), tmp_path, samples=6)
        except ContentError as error:
            assert error.aspect in ("shape", "samples")  # noqa: PT017
        else:
            assert found.shape == shape  # for the checks to compare with what is declared

    @every
    def test_too_few_samples_stay_too_few(self, form: str, tmp_path: Path) -> None:
        """Dropping an axis neither adds nor hides samples."""
        assert stored(form, np.zeros((5, 1), "u1"), tmp_path, samples=6).shape == (5,)
        assert stored(form, np.zeros((1, 5), "u1"), tmp_path, samples=6).shape == (5,)

    @every
    def test_one_sample_too_many_on_its_side(self, form: str, tmp_path: Path) -> None:
        """The error shows the shape that the file has."""
        with pytest.raises(ContentError) as caught:
            stored(form, np.zeros((1, 7), "u1"), tmp_path, samples=6)

        assert "is uint8 (1, 7), more than train.images declares: uint8 (6,)" in caught.value.reason
        assert caught.value.aspect == "samples"

    def test_in_blocks(self, tmp_path: Path) -> None:
        """Also where an array is longer than one block."""
        values = np.arange(3_000_000, dtype="i4").reshape(1, -1)
        file = put(tmp_path / "data", npy(values))
        result = split(column(file, samples=3_000_000, dtype="int32"))

        assert len(list(of("npy").decode([result]))) == 12
        np.testing.assert_array_equal(read("npy", result)["train.images"], values[0], strict=True)


class TestLabels:
    """Labels come as they are stored; what they stand for is not the reader's to say."""

    @every
    @pytest.mark.parametrize("dtype", ["f4", "f8", "?", "u1", "i2"])
    @pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 4)])
    def test_any_number_is_given_as_it_is(self, form: str, dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
        """A whole-numbered float or a bool is as good as a whole number."""
        values = np.array([1, 0, 1, 1], dtype).reshape(shape)

        found = stored(form, values, tmp_path, samples=4, dtype="int64", classes=CLASSES)

        np.testing.assert_array_equal(found, np.array([1, 0, 1, 1], dtype), strict=True)

    @every
    @pytest.mark.parametrize("dtype", ["f8", "?", "U3", "S3"])
    def test_too_many_are_too_many_samples(self, form: str, dtype: str, tmp_path: Path) -> None:
        """Not another dtype, because a label may have any of these."""
        with pytest.raises(ContentError) as caught:
            stored(form, np.zeros(5, dtype), tmp_path, samples=4, dtype="int64", classes=CLASSES)

        assert caught.value.aspect == "samples"

    @every
    @pytest.mark.parametrize("dtype", ["U", ">U5", "S", "S9"])
    def test_names_of_classes_are_given_as_texts(self, form: str, dtype: str, tmp_path: Path) -> None:
        """As the file spells them."""
        values = np.array(["cat", "ant", "cat"], dtype)

        assert stored(form, values, tmp_path, dtype="int64", classes=CLASSES) == ["cat", "ant", "cat"]


class TestTexts:
    """Arrays of text are text, as NumPy itself reads them."""

    @every
    @pytest.mark.parametrize("dtype", ["<U9", ">U9"])
    def test_unicode_of_either_byte_order(self, form: str, dtype: str, tmp_path: Path) -> None:
        """With a NUL inside, which stays, and NULs behind, which NumPy does not see."""
        values = np.array(["", "caf\u00e9", "a\0b\0", "\U0001f600 \n", "nine char"], dtype)

        assert stored(form, values, tmp_path, samples=5, dtype="str") == values.tolist()
        assert values.tolist()[2] == "a\0b"

    @every
    def test_bytes_are_utf8(self, form: str, tmp_path: Path) -> None:
        """Of which ASCII is a part."""
        texts = ["ant", "", "caf\u00e9"]

        assert stored(form, np.array([t.encode() for t in texts]), tmp_path, dtype="str") == texts

    @every
    def test_bytes_that_are_not_utf8_are_refused(self, form: str, tmp_path: Path) -> None:
        """By the place of the first."""
        with pytest.raises(DecodeError, match=r"has a text that is not UTF-8, at sample 2$"):
            stored(form, np.array([b"a", b"b", b"caf\xe9"]), tmp_path, dtype="str")

    @every
    @pytest.mark.parametrize("shape", [(3, 1), (1, 3)])
    def test_axes_of_length_one_are_dropped(self, form: str, shape: tuple[int, ...], tmp_path: Path) -> None:
        """As those of numbers are."""
        assert stored(form, np.array(["a", "b", "c"]).reshape(shape), tmp_path, dtype="str") == ["a", "b", "c"]

    @pytest.mark.parametrize("form", ["npy", "npz"])
    def test_one_text_may_belong_to_the_split(self, form: str, tmp_path: Path) -> None:
        """NumPy keeps it as an array without an axis."""
        assert stored(form, np.array("all of it"), tmp_path, dtype="str", per="split") == ["all of it"]

    @every
    def test_texts_are_no_numbers(self, form: str, tmp_path: Path) -> None:
        """Though some look like them; nor are numbers texts."""
        with pytest.raises(ContentError, match=r"holds text, train\.images is declared as uint8$") as text:
            stored(form, np.array(["1", "2", "3"]), tmp_path)
        with pytest.raises(ContentError, match=r"holds numbers, train\.images is declared as text$") as number:
            stored(form, np.arange(3), tmp_path, dtype="str")

        assert (text.value.aspect, text.value.expected, text.value.actual) == ("dtype", "uint8", "str (3,)")
        assert (number.value.aspect, number.value.expected, number.value.actual) == ("dtype", "str", "int64 (3,)")

    def test_many_come_in_blocks(self, tmp_path: Path) -> None:
        """Of a bounded number of bytes on disk."""
        values = np.array([f"text {n}" for n in range(100_000)], "U20")
        result = split(column(put(tmp_path / "data", npy(values)), samples=100_000, dtype="str"))

        assert [len(block.values) for block in of("npy").decode([result])] == [13107] * 7 + [8251]
        assert read("npy", result)["train.images"] == values.tolist()


@pytest.mark.parametrize(
    ("dtype", "hint"),
    [
        ("c16", "Save their parts as two arrays: `a.real` and `a.imag`."),
        ("M8[D]", "Save them as whole numbers, by `a.astype('int64')`, or as text, by `a.astype(str)`."),
        ("m8[s]", "Save them as whole numbers: `a.astype('int64')`."),
        ("V8", "Save each of its columns as an array: `a['name']`."),
        ([("x", "f4"), ("y", "f4")], "Save each of its columns as an array: `a['name']`."),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_what_no_field_can_be_is_refused_with_a_hint(form: str, dtype: Any, hint: str, tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(DecodeError) as caught:
        stored(form, np.zeros(3, dtype), tmp_path, dtype="float64")

    assert caught.value.hint == hint
    assert type(caught.value) is DecodeError
