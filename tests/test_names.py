"""The names by which data sets are asked for, and what is said of wrong ones and of wrong arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from tests.test_get import facts
from tinytorch_datasets import Split, audit, get, load_manifest
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import ManifestError, UnknownName, UsageError
from tinytorch_datasets.storage.string_array import StringArray
from tinytorch_datasets.subsets import split_expression


@pytest.fixture
def manifest(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of two data sets of numbers, of which one has aliases, as the manifest in use."""
    datasets = {}
    for name, aliases in (("flowers", ["iris-2", "blumen"]), ("stones", [])):
        folder = tmp_path / "datasets" / name
        folder.mkdir(parents=True)
        np.save(folder / "train.npy", np.arange(6.0).reshape(3, 2))
        datasets[name] = {
            "title": name,
            "aliases": aliases,
            "status": "shipped",
            "format": "npy",
            "license": "CC0-1.0",
            "source": "made here",
            "fields": {"features": {"dtype": "float64", "shape": [2]}},
            "splits": {"train": {"samples": 3, "features": "train.npy"}},
            "files": {"train.npy": facts(folder / "train.npy")},
        }
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "datasets": datasets}, sort_keys=False))
    monkeypatch.setenv("TINYTORCH_DATASETS_MANIFEST", str(path))
    return path


def changed(manifest: Path, name: str, **more: Any) -> Path:
    """The manifest, with other values of one entry."""
    data = yaml.safe_load(manifest.read_text())
    data["datasets"][name].update(more)
    manifest.write_text(yaml.safe_dump(data, sort_keys=False))
    return manifest


class TestGet:
    """By its name or an alias, whatever the case of letters."""

    @pytest.mark.parametrize("name", ["TinyDigits", "TINYDIGITS", "tinydigits"])
    def test_the_packaged_ones(self, name: str, home: Path) -> None:
        """As it is written in a paper, or on a slide; the data set keeps its name."""
        assert get(name).name == "tinydigits"

    @pytest.mark.parametrize("name", ["flowers", "Flowers", "iris-2", "IRIS-2", "Blumen"])
    def test_aliases(self, manifest: Path, name: str) -> None:
        """Twice the same, by the same cached arrays, and by a manifest that was read before."""
        for given in (None, manifest, load_manifest(manifest)):
            assert get(name, manifest=given).name == "flowers"
        assert len(list((Path(get(name).train.features.filename).parent.parent).iterdir())) == 1

    def test_an_alias_that_moves_gives_what_it_now_names(self, manifest: Path) -> None:
        """What is remembered of it is as old as the manifest."""
        assert get("blumen").name == get("blumen").name == "flowers"

        changed(changed(manifest, "flowers", aliases=[]), "stones", aliases=["blumen"])

        assert get("blumen").name == "stones"

    def test_the_declared_alias_of_cifar10(self) -> None:
        """Which is its folder's name, too."""
        assert load_manifest().entry("CIFAR-10") == load_manifest().datasets["cifar10"]
        assert load_manifest().plan("Cifar-10").name == "cifar10"

    def test_a_wrong_name_is_still_wrong(self, manifest: Path) -> None:
        """With a guess, and what there is."""
        with pytest.raises(UnknownName) as caught:
            get("Flwoers")

        assert str(caught.value) == (
            "no data set named 'Flwoers' in datasets.yaml; did you mean 'flowers'?\n  There are: flowers, stones."
        )


class TestRules:
    """An alias names one data set, and is written as names are."""

    @pytest.mark.parametrize(
        ("aliases", "what"),
        [
            (["stones"], "'stones' is the name of a data set already"),
            (["flowers"], "'flowers' is the name of a data set already"),
            (["a", "a"], "'a' is an alias of 'flowers' already"),
            (["Iris"], "an alias is lowercase letters, digits, '.', '_' and '-', at most 64, not starting with a sign"),
            ([""], "must not be empty"),
            ("iris", "must be a list"),
        ],
    )
    def test_what_is_wrong(self, manifest: Path, aliases: object, what: str) -> None:
        """Reported with its line."""
        changed(manifest, "flowers", aliases=aliases)
        lines = manifest.read_text().splitlines()

        with pytest.raises(ManifestError) as caught:
            load_manifest(manifest)

        (problem, *_) = caught.value.problems
        assert what in problem.what
        wanted = next(i for i, line in enumerate(lines, 1) if "aliases" in line)
        assert wanted <= problem.line <= wanted + len(aliases)  # type: ignore[arg-type]

    def test_of_two_data_sets(self, manifest: Path) -> None:
        """The second is reported."""
        changed(manifest, "stones", aliases=["blumen"])

        with pytest.raises(ManifestError, match=r"stones\.aliases.*'blumen' is an alias of 'flowers' already"):
            load_manifest(manifest)


class TestCommands:
    """Every command that takes a name takes an alias."""

    @pytest.mark.parametrize("name", ["Flowers", "iris-2"])
    @pytest.mark.parametrize("command", ["info", "path", "show", "get", "audit", "clean", "lock"])
    def test_takes_it(self, manifest: Path, command: str, name: str, tmp_path: Path) -> None:
        """And answers by the data set's own name."""
        result = CliRunner().invoke(main, [command, name, "--json"], catch_exceptions=False)

        assert result.exit_code == 0, result.output
        answer = json.loads(result.stdout)
        text = json.dumps(answer)
        assert "stones" not in text or command == "audit"
        assert command == "show" or "flowers" in text

    def test_mirror_and_update(self, manifest: Path, tmp_path: Path) -> None:
        """Those that write, too."""
        for arguments in (["mirror", str(tmp_path / "usb"), "IRIS-2"], ["update", "IRIS-2", "--dry-run"]):
            result = CliRunner().invoke(main, arguments, catch_exceptions=False)
            assert result.exit_code == 0, result.output
        assert (tmp_path / "usb" / "flowers" / "train.npy").exists()

    def test_audit_from_python(self, manifest: Path) -> None:
        """Once, though it is named twice."""
        report = audit(["Flowers", "blumen"])

        assert [one.name for one in report.datasets] == ["flowers"]


class TestUnpacking:
    """A data set is a mapping; arrays come from `arrays`."""

    def test_into_variables_says_what_to_write(self) -> None:
        """In place of two texts that fail a hundred lines further down."""
        with pytest.raises(UsageError) as caught:
            x, y = get("tinydigits")  # noqa: RUF059

        assert str(caught.value) == (
            "data set 'tinydigits' is a mapping of splits, and cannot be unpacked into several variables\n"
            "  Write `(images_train, labels_train), (images_test, labels_test) = get('tinydigits').arrays()`, "
            "or `train, test = get('tinydigits').values()`."
        )
        with pytest.raises(UsageError):
            first, *others = get("tinydigits")  # noqa: RUF059

    def test_what_it_says_works(self) -> None:
        """Both ways."""
        (images_train, labels_train), (images_test, labels_test) = get("tinydigits").arrays()
        train, test = get("tinydigits").values()

        assert np.array_equal(images_train, train.images)
        assert np.array_equal(labels_test, test.labels)
        assert len(images_test) == len(labels_test) != len(labels_train)

    def test_it_stays_a_mapping(self) -> None:
        """Whatever else a mapping is used for."""
        digits = get("tinydigits")

        assert list(digits) == [*digits] == [name for name in digits] == ["train", "test"]  # noqa: C416
        assert {**digits} == dict(digits) == dict(digits.items())
        assert max(digits) == "train"
        assert set(digits) == {"train", "test"} == {name for name in iter(digits)}  # noqa: C416
        first, second = sorted(digits)
        one, other = digits.keys()
        assert (first, second, one, other) == ("test", "train", "train", "test")
        ((only,),) = ([name for name in digits if name == "test"],)
        assert only == "test"
        assert list(zip(digits, digits, strict=True)) == [("train", "train"), ("test", "test")]
        name, value = next(iter(digits.items()))
        assert digits[name] is value

    def test_the_keys_that_a_notebook_completes(self) -> None:
        """After `digits["` and `digits.train["`."""
        assert get("tinydigits")._ipython_key_completions_() == ["train", "test"]
        assert get("tinytalks").train._ipython_key_completions_() == ["questions", "answers", "levels", "text"]


class TestSplits:
    """Splits are attributes; who asks for them in other libraries' words is shown what to write."""

    @pytest.mark.parametrize(
        ("asked", "written"),
        [
            ("train", "get('mnist').train"),
            ("train[:10%]", "get('mnist').train[:6000]"),
            ("train[10%:20%]", "get('mnist').train[6000:12000]"),
            ("train[-10%:]", "get('mnist').train[-6000:]"),
            ("train[:-10%]", "get('mnist').train[:-6000]"),
            ("train[:1_000]", "get('mnist').train[:1000]"),
            ("test[-500:]", "get('mnist').test[-500:]"),
            ("test[:]", "get('mnist').test"),
            ("train[:0%]", "get('mnist').train[:0]"),
            ("train+test[:33%]", "get('mnist').train + get('mnist').test[:3300]"),
            ("all", "get('mnist').train + get('mnist').test"),
            (["train", "test[:1%]"], "get('mnist').train, get('mnist').test[:100]"),
            ("train[:4shard]", "get('mnist').train"),
            ("", "get('mnist').train"),
        ],
    )
    def test_what_to_write_is_shown(self, asked: object, written: str) -> None:
        """Before anything is fetched: what a share is in samples, the manifest says."""
        with pytest.raises(UsageError) as caught:
            get("mnist", split=asked, offline=True)  # type: ignore[call-overload]

        assert str(caught.value) == (
            f"get() returns all splits of a data set, and takes no split={asked!r}\n  Write `{written}`."
        )

    def test_a_share_is_the_nearest_number_of_samples(self) -> None:
        """And of half a sample the next one; of nothing from the end, none."""
        shares = {"7%": "0", "8%": "0", "9%": "1", "25%": "2", "75%": "5", "99%": "6", "100%": "6"}  # of six
        for share, count in shares.items():
            assert split_expression("d", f"a[:{share}]", {"a": 6}) == f"get('d').a[:{count}]"
        assert split_expression("d", "a[-7%:]", {"a": 6}) == "get('d').a[6:]"

    def test_a_split_that_there_is_not(self) -> None:
        """Which are there is shown."""
        with pytest.raises(UnknownName) as caught:
            get("mnist", split="validation", offline=True)  # type: ignore[call-overload]

        assert str(caught.value) == "no split of 'mnist' named 'validation'\n  There are: train, test."


class TestWrongArguments:
    """Refused when they are given, and not when a value meets them."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"verify": "alwys"}, "verify is \"auto\" or \"always\", not 'alwys'; did you mean 'always'?"),
            ({"offline": "no"}, "offline is True or False, not 'no'"),
            ({"progress": True}, "progress is called with (file, bytes done, bytes in all), and True cannot be called"),
            ({"retry": 3}, "retry is a RetryPolicy, not 3"),
        ],
    )
    def test_of_get(self, arguments: dict[str, Any], message: str) -> None:
        """A data set that is cached makes no difference."""
        get("tinydigits")
        with pytest.raises(UsageError) as caught:
            get("tinydigits", **arguments)

        assert str(caught.value) == message

    def test_of_arrays(self) -> None:
        """Also where there is nothing to convert."""
        words = Split("train", {"words": StringArray.of(["a"])})

        with pytest.raises(TypeError, match="did you mean 'float32'"):
            words.arrays(dtype="flaot32")
        with pytest.raises(TypeError, match="did you mean 'float16'"):
            get("tinydigits").arrays(dtype="flot16")
        for dtype in ("float32", np.float32, np.dtype("u1"), float, "f4", "bool"):
            assert words.arrays(dtype=dtype)[0] == ["a"]

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda split: split.show("5"), "n is a number of samples, 0 or more, not '5'"),
            (lambda split: split.show(-1), "n is a number of samples, 0 or more, not -1"),
            (lambda split: split.show(2.5), "n is a number of samples, 0 or more, not 2.5"),
            (lambda split: split.show(seed="x"), "a seed is 0 to 2**32 - 1, not 'x'"),
            (lambda split: split.take(-1), "count is a number of samples, 0 or more, not -1"),
            (lambda split: split.divide("half"), "a fraction is from 0 to 1, not 'half'"),
            (lambda split: split.divide(True), "a fraction is from 0 to 1, not True"),
            (lambda split: split.divide(0.5, seed=-1), "a seed is 0 to 2**32 - 1, not -1"),
            (lambda split: split.shard("0", 2), "a shard is number 0 to 1 of 2, not '0'"),
            (lambda split: split.shard(1, 1), "a shard is number 0 to 0 of 1, not 1"),
            (lambda split: split.shard(0, 0), "there is 1 shard or more, not 0"),
            (lambda split: split.take(1, seed=True), "a seed is 0 to 2**32 - 1, not True"),
        ],
    )
    def test_of_parts(self, call: Any, message: str) -> None:
        """In words of this package, not of what it calls."""
        with pytest.raises(ValueError) as caught:
            call(get("tinydigits").test)

        assert str(caught.value) == message

    def test_positions_are_no_mask(self) -> None:
        """Though they are as many as the samples: each but 0 would count as true."""
        split = get("tinydigits").test

        with pytest.raises(IndexError, match=r"a mask has one truth for each sample, not int64; split\[\[3, 1, 2\]\]"):
            split.filter(list(range(200)))
        assert len(split.filter([True] * 200)) == 200

    def test_of_audit(self) -> None:
        """Flags, too."""
        with pytest.raises(UsageError, match="offline is True or False, not 'no'"):
            audit(["tinydigits"], offline="no")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="deep is True or False, not 'yes'"):
            audit(["tinydigits"], deep="yes")  # type: ignore[arg-type]

    def test_numpys_truths_are_truths(self) -> None:
        """Whoever computes one has one."""
        assert len(get("tinydigits").train.batches(10, shuffle=np.bool_(True), seed=0)) == 100  # type: ignore[arg-type]
