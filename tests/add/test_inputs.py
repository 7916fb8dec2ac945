"""What a person sees while `add` and `update --fetch` download, and after Ctrl-C."""

from __future__ import annotations

import gzip
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Served
from tests.helpers.add_world import add, put, update
from tests.helpers.faulty_server import FaultyServer, sha256
from tests.helpers.faulty_server import serve as serving
from tests.helpers.format_writers import npy, npz
from tests.helpers.fresh_process import begin
from tests.test_progress import Terminal
from tinytorch_datasets import get, load_manifest
from tinytorch_datasets.progress import Bars, readable

DATA = npz(x_train=np.arange(60).reshape(30, 2) / 2, y_train=np.arange(30) % 3)


def test_a_line_a_file_that_comes(manifest: Path, tmp_path: Path, serve: Callable[[Path], Served]) -> None:
    """Where nobody watches, as of `get`; on stderr, so that stdout is the answer."""
    put(tmp_path / "made", mine_npz=DATA)
    facts = ("--title", "T", "--license", "CC0-1.0", "--source", "https://example.org")
    result = add(manifest, serve(tmp_path / "made") + "mine.npz", *facts)
    again = update(manifest, "mine", "--fetch")

    assert (result.exit_code, result.stderr) == (0, f"mine.npz: fetching {readable(len(DATA))}\n")
    assert (again.stdout, again.stderr) == ("mine: nothing changed\n", f"mine.npz: fetching {readable(len(DATA))}\n")


def test_a_file_whose_size_its_host_does_not_state(manifest: Path) -> None:
    """The line has none, then."""
    with FaultyServer() as server:
        result = add(manifest, server.at("/mine.npz", serving(DATA, chunked=True)))

    assert (result.exit_code, result.stderr.splitlines()[0]) == (0, "mine.npz: fetching")


def test_a_bar_of_unknown_length() -> None:
    """It has what came, and its size as soon as all is here."""
    screen = Terminal()
    with Bars(screen) as bars:
        for done, in_all in ((0, -1), (1000, -1), (2000, 2000)):
            bars("mine.npz", done, in_all)

    assert "100%" in screen.getvalue()
    assert "2.0/2.0 kB" in screen.getvalue()


@pytest.mark.parametrize("command", ["add", pytest.param("update", marks=pytest.mark.slow)])
def test_an_interrupt_says_that_nothing_is_kept(manifest: Path, tmp_path: Path, command: str) -> None:
    """What came is in no manifest, so nothing could tell whether the rest belongs to it."""
    data = npz(x_train=np.arange(60_000).reshape(30, 2000) / 2, y_train=np.arange(30) % 3)
    hanging = serving(data, cut_after=200_000, end="hang")
    with FaultyServer() as server:
        url = server.at("/mine.npz", serving(data), hanging)
        if command == "update":
            add(manifest, url)
        else:
            server.at("/mine.npz", hanging)
        before = manifest.read_bytes()
        arguments = [url] if command == "add" else ["mine", "--fetch"]
        process = begin("-m", "tinytorch_datasets", command, *arguments, "--manifest", str(manifest))
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    assert (process.returncode, first, err) == (
        130,
        f"mine.npz: fetching {readable(len(data))}\n",
        "\ninterrupted; nothing was written; the same command starts from the beginning\n",
    )
    assert manifest.read_bytes() == before


SECRETS = ["X-Amz-Signature", "X-Goog-Signature", "Signature", "sig", "se", "token", "access_token", "Expires",
           "Key-Pair-Id", "X-Amz-Security-Token", "AWSAccessKeyId", "downloadToken", "api_key"]  # fmt: skip


class TestSecretsInAddresses:
    """A manifest is read by everyone: no key of whoever copied an address gets into it, or onto a terminal."""

    @pytest.mark.parametrize("parameter", SECRETS)
    def test_an_address_with_a_key_or_an_expiry_is_refused(self, manifest: Path, parameter: str) -> None:
        """Before anything is asked of the host."""
        before = manifest.read_bytes()
        with FaultyServer() as server:
            server.at("/mine.npz", serving(DATA))
            result = add(manifest, f"{server.url}/mine.npz?v=2&{parameter}=s3cr3t")

            assert (result.exit_code, result.stderr) == (
                2,
                f"error: {server.url}/mine.npz?v=2&{parameter}=...: {parameter} is a key or an expiry of whoever "
                "copied this address; a manifest is read by everyone\n"
                "  Use the address that everybody is given; or download the file, and add that with --ship or "
                "--mirror.\n",
            )
            assert not server.log
        assert manifest.read_bytes() == before

    @pytest.mark.parametrize("option", ["--mirror", "--source", "--title"])
    def test_wherever_it_is_given(self, manifest: Path, tmp_path: Path, option: str) -> None:
        """The page of its authors is written, too."""
        (path,) = put(tmp_path / "made", mine_npz=DATA)
        more = () if option == "--mirror" else ("--ship",)
        result = add(manifest, path, *more, option, "http://127.0.0.1:9/data?sig=s3cr3t")

        assert result.exit_code == 2
        assert "s3cr3t" not in result.output
        assert "sig is a key or an expiry" in result.stderr

    def test_a_password_is_refused_and_not_shown(self, manifest: Path) -> None:
        """Nor is it sent."""
        result = add(manifest, "https://ada:s3cr3t@127.0.0.1:9/mine.npz")

        assert (result.exit_code, result.stderr.splitlines()[0]) == (
            2,
            "error: https://127.0.0.1:9/mine.npz was given with a user name or password, and a manifest is read by "
            "everyone",
        )

    @pytest.mark.parametrize("scheme", ["s3", "ftp"])
    def test_nor_shown_in_an_address_that_is_not_fetched(self, manifest: Path, scheme: str) -> None:
        """Also as a mirror."""
        address = f"{scheme}://ada:s3cr3t@example.org/x.csv?token=s3cr3t"

        assert "s3cr3t" not in add(manifest, address).output
        assert "s3cr3t" not in add(manifest, "x.csv", "--mirror", address).output

    @pytest.mark.parametrize("query", ["file=mine.npz", "download=1", "id=1a2B3c4D5e6F7g8H9i0J", "key=mine.npz", "v=2"])
    def test_what_is_no_secret(self, manifest: Path, query: str) -> None:
        """Names, numbers and versions of files are part of their address."""
        with FaultyServer() as server:
            url = server.at(f"/mine.npz?{query}", serving(DATA))
            result = add(manifest, url, "--name", "mine")

        assert result.exit_code == 0, result.output
        assert load_manifest(manifest).datasets["mine"].files["mine.npz"].urls == (url,)


def test_the_split_is_in_a_folders_name(manifest: Path, tmp_path: Path) -> None:
    """The whole path below the given folder counts, and a field's name may be a folder's as well."""
    for split, kept in (("train", slice(20)), ("test", slice(20, 30))):
        values = np.arange(60).reshape(30, 2)[kept]
        put(tmp_path / "made" / split, images_npy=npy(values), labels_npy=npy(np.arange(30)[kept] % 3))
    result = add(manifest, tmp_path / "made", "--ship", "--name", "mine")

    assert result.exit_code == 0, result.output
    mine = get("mine", manifest=manifest, offline=True)
    assert (len(mine.train), len(mine.test)) == (20, 10)
    np.testing.assert_array_equal(mine.test.features, np.arange(60).reshape(30, 2)[20:])
    assert load_manifest(manifest).datasets["mine"].files.keys() == {
        f"{split}/{name}.npy" for split in ("train", "test") for name in ("images", "labels")
    }


def test_a_name_of_two_splits_is_asked(manifest: Path, tmp_path: Path) -> None:
    """Whichever was taken could be wrong, and nobody would notice."""
    files = put(tmp_path / "made", **{"train-test_csv": "x,y\n1,2\n3,4\n"})
    result = add(manifest, *files, "--ship")

    assert (result.exit_code, result.stderr) == (
        2,
        "error: 'train-test.csv' names two splits, train and test\n  Say which one it is: --split SPLIT=NAME.\n",
    )
    assert add(manifest, *files, "--ship", "--split", "test=train-test.csv").exit_code == 0


ROWS = "".join(f"{i},{'ab'[i % 2]}\n" for i in range(1000))
CSV = f"length,kind\n{ROWS}".encode()
OTHER = CSV.replace(b"0", b"5")


class TestWhatIsRecorded:
    """Of a download, size and sha256 are those of the file, as every later `get` will see it."""

    def test_not_the_wrapping_of_the_connection(self, manifest: Path) -> None:
        """Content-Encoding is the connection's, and comes off."""
        with FaultyServer() as server:
            url = server.at("/mine.csv", serving(gzip.compress(CSV), headers={"Content-Encoding": "gzip"}))
            result = add(manifest, url)

            assert result.exit_code == 0, result.output
            file = load_manifest(manifest).datasets["mine"].files["mine.csv"]
            assert (file.bytes, file.sha256) == (len(CSV), sha256(CSV))
            assert len(get("mine", manifest=manifest, offline=True).train) == 1000

    def test_not_the_first_part_of_it(self, manifest: Path) -> None:
        """A chunked body that ends early is not 400 rows of 1,000; the next try brings all."""
        with FaultyServer() as server:
            url = server.at("/mine.csv", serving(CSV, chunked=True, cut_after=3000), serving(CSV, chunked=True))
            result = add(manifest, url)

        assert result.exit_code == 0, result.output
        assert load_manifest(manifest).datasets["mine"].files["mine.csv"].sha256 == sha256(CSV)

    def test_update_has_it_the_same_way(self, manifest: Path) -> None:
        """Every download goes by one path."""
        with FaultyServer() as server:
            wrapped = serving(gzip.compress(CSV), headers={"Content-Encoding": "gzip"})
            add(manifest, server.at("/mine.csv", wrapped))

            assert update(manifest, "mine", "--fetch").stdout == "mine: nothing changed\n"


class TestNames:
    """A file is called what people call it, whatever the last part of its address is."""

    @pytest.mark.parametrize(
        ("path", "disposition", "name"),
        [
            ("/records/1/files/train.csv/content", "", "train.csv"),
            ("/abc12/download", 'attachment; filename="train.csv"', "train.csv"),
            ("/abc12/download", "attachment; filename*=UTF-8''tr%C3%A4in.csv", "träin.csv"),
            ("/abc12/download", 'attachment; filename="../../train.csv"', "train.csv"),
            ("/get.php?file=a/train.csv", "", "train.csv"),
            ("/train.csv?download=1", 'attachment; filename="other.csv"', "train.csv"),
            ("/abc12/download", "", "abc12"),
        ],
    )
    def test_of_one_file(self, manifest: Path, path: str, disposition: str, name: str) -> None:
        """By its address if that is a file's name; else by its host, the query, or a part before."""
        headers = {"Content-Disposition": disposition} if disposition else {}
        with FaultyServer() as server:
            result = add(manifest, server.at(path, serving(CSV, headers=headers)), "--name", "mine")

        assert result.exit_code == 0, result.output
        assert list(load_manifest(manifest).datasets["mine"].files) == [name]

    @pytest.mark.parametrize(
        ("paths", "names"),
        [
            (("/1/files/train.csv/content", "/1/files/test.csv/content"), ["train.csv", "test.csv"]),
            (("/train/data.csv", "/test/data.csv"), ["train/data.csv", "test/data.csv"]),
            (("/data.csv?part=train", "/data.csv?part=test"), ["data-train.csv", "data-test.csv"]),
        ],
    )
    def test_of_files_that_end_alike(self, manifest: Path, paths: tuple[str, str], names: list[str]) -> None:
        """What tells their addresses apart tells their names apart, and the splits."""
        with FaultyServer() as server:
            result = add(
                manifest,
                *(server.at(path, serving(data)) for path, data in zip(paths, (CSV, OTHER), strict=True)),
                "--name",
                "mine",
            )

        assert result.exit_code == 0, result.output
        entry = load_manifest(manifest).datasets["mine"]
        assert (list(entry.files), set(entry.splits)) == (names, {"train", "test"})
        assert len(get("mine", manifest=manifest, offline=True).test) == 1000

    def test_of_two_paths(self, manifest: Path, tmp_path: Path) -> None:
        """On this computer as well; and the same one twice is one."""
        paths = [put(tmp_path / split, images_csv=data)[0] for split, data in (("train", CSV), ("test", OTHER))]
        result = add(manifest, *paths, paths[0], "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        assert list(load_manifest(manifest).datasets["mine"].files) == ["train/images.csv", "test/images.csv"]


class TestDrop:
    """`--drop` takes files as well as columns and arrays."""

    @pytest.fixture
    def made(self, tmp_path: Path) -> Path:
        """Two tables and what stands beside them."""
        folder = tmp_path / "made"
        put(folder, flowers_csv=CSV, notes_csv="at,what\n1,2\n", README_txt="Flowers")
        return folder

    @pytest.mark.parametrize("data", [{"all_csv": CSV}, {"all_npz": DATA}, {"all_jsonl": b'{"a": 1}\n{"a": 2}\n'}])
    def test_what_is_left_out_in_any_case(self, manifest: Path, tmp_path: Path, data: dict[str, bytes]) -> None:
        """Whatever the format is, and by whichever way it is named."""
        folder = tmp_path / "made"
        put(folder, README_txt="Flowers", **data)
        plainly = add(manifest, folder, "--ship", "--dry-run")
        assert plainly.exit_code == 0

        for name in ("README.txt", folder / "README.txt"):
            assert add(manifest, folder, "--ship", "--dry-run", "--drop", name).output == plainly.output

    def test_a_path_to_a_file(self, manifest: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a shell completes it."""
        monkeypatch.chdir(made.parent)
        outputs = {
            add(manifest, "made", "--ship", "--dry-run", "--drop", name).output
            for name in ("notes.csv", "made/notes.csv", made / "notes.csv")
        }

        assert len(outputs) == 1
        assert "flowers.csv" in outputs.pop()

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("note.csv", "there is no such column or file; did you mean 'notes.csv'?"),
            ("readme.txt", "there is no such column or file; did you mean 'README.txt'?"),
            ("all", "there is no such column or file"),
        ],
    )
    def test_nothing_of_that_name(self, manifest: Path, made: Path, name: str, reason: str) -> None:
        """The nearest is named, of columns and of files."""
        (made / "notes.csv").write_bytes(CSV)
        result = add(manifest, made, "--ship", "--drop", name)

        assert result.exit_code == 2
        assert result.stderr.splitlines()[0] == f"error: --drop {name}: {reason}"

    def test_all_that_there_is(self, manifest: Path, made: Path) -> None:
        """Nothing would be left."""
        result = add(manifest, made, "--ship", "--drop", "flowers.csv", "--drop", "notes.csv")

        assert result.stderr == (
            "error: --drop flowers.csv: without it, no file is left that may be data\n  Leave out fewer of them.\n"
        )


@pytest.mark.parametrize(
    "litter",
    ["._train.csv", "__MACOSX/._train.csv", ".DS_Store", "desktop.ini", "Thumbs.db", "train.csv~", ".#train.csv",
     ".train.csv.swp", ".ipynb_checkpoints/train-checkpoint.csv", "~$train.xlsx", "sub/.DS_Store"],
)  # fmt: skip
def test_litter_in_a_folder_is_passed_over_and_named(manifest: Path, tmp_path: Path, litter: str) -> None:
    """What systems, editors and notebooks leave about is no data; but nothing is left out without a word."""
    put(tmp_path / "made", train_csv=CSV)
    path = tmp_path / "made" / litter
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x,y\n1,2\n")
    named = litter.partition("/")[0] if litter.startswith(("__MACOSX", ".ipynb")) else litter
    facts = ("--title", "T", "--license", "CC0-1.0", "--source", "https://example.org")
    result = add(manifest, tmp_path / "made", "--ship", "--name", "mine", *facts)

    assert (result.exit_code, result.stderr) == (0, f"left out: {named}: litter of a program\n")
    assert list(load_manifest(manifest).datasets["mine"].files) == ["train.csv"]
