"""Folders that cannot be written, and users who share one: tried with real users and real file systems."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, plainly_unpickled
from tests.helpers.audit_world import World, build
from tests.helpers.fresh_process import Forks
from tests.helpers.users import UNKNOWN, as_user, becoming, mounted, needs_root, open_to_all
from tinytorch_datasets import get
from tinytorch_datasets.errors import OfflineError, StorageError

SUMS = """
import logging; logging.basicConfig(level=logging.INFO, format="%(message)s")
from tinytorch_datasets import get
digits, talks = get("tinydigits"), get("tinytalks")
print(float(digits.train.images.sum(dtype="f8")), digits.classes[3], digits.provenance[:36])
print(len(talks.train), talks.train.questions[0], digits.train.images.flags.writeable)
print(sum(len(labels) for _, labels in digits.train.batches(128, shuffle=True, seed=1, dtype="float32")))
"""


def expected() -> str:
    """What the sums print, by the files themselves."""
    train = plainly_unpickled(ROOT / "datasets" / "tinydigits" / "train.pkl")
    first = (ROOT / "datasets" / "tinytalks" / "splits" / "train.txt").read_text().splitlines()[0].removeprefix("Q: ")
    samples = (ROOT / "datasets" / "tinytalks" / "splits" / "train.txt").read_text().count("Q: ")
    total = float(np.asarray(train["images"]).sum(dtype="f8"))
    return f"{total} 3 tinydigits from tinytorch-datasets 0\n{samples} {first} False\n1000\n"


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder that every user may pass, of this test alone."""
    with open_to_all() as folder:
        yield folder


@needs_root
class TestNowhereToWrite:
    """What ships is decoded into memory, with one line in the log for each data set, and no other."""

    def sums(self, done: subprocess.CompletedProcess[str]) -> None:
        """Check the values, and that each data set has its line."""
        assert done.stdout == expected(), done.stderr
        lines = done.stderr.splitlines()
        assert [line.split(", for ")[0] for line in lines] == [
            "tinydigits: decoded into memory",
            "tinytalks: decoded into memory",
        ]

    def test_a_read_only_file_system(self, tmp_path: Path) -> None:
        """The home is on it; root may not write there either."""
        with mounted(tmp_path / "disk", "ro") as disk:
            done = subprocess.run(
                [sys.executable, "-c", SUMS],
                env={"PYTHONPATH": str(ROOT), "TINYTORCH_DATASETS_HOME": str(disk / "home")},
                capture_output=True,
                text=True,
                check=False,
            )
        self.sums(done)

    def test_a_full_disk(self, tmp_path: Path) -> None:
        """There is room for a page or two."""
        with mounted(tmp_path / "disk", "size=64k") as disk:
            done = subprocess.run(
                [sys.executable, "-c", SUMS],
                env={"PYTHONPATH": str(ROOT), "TINYTORCH_DATASETS_HOME": str(disk / "home")},
                capture_output=True,
                text=True,
                check=False,
            )
            left = [path for path in disk.rglob("*") if path.is_file() and path.suffix != ".lock"]
        self.sums(done)
        assert not left

    @pytest.mark.parametrize(
        "home",
        [{}, *(pytest.param({"HOME": home}, marks=pytest.mark.slow) for home in ("/dev/null", "/nonexistent", "/"))],
        ids=str,
    )
    def test_a_user_whom_nobody_knows(self, common: Path, home: dict[str, str]) -> None:
        """An installed package keeps its data in the user's cache folder, and this user has none."""
        site = common / "site"
        shutil.copytree(ROOT / "tinytorch_datasets", site / "tinytorch_datasets")
        shutil.copytree(ROOT / "datasets", site / "tinytorch_datasets" / "datasets")
        for path in (*ROOT.glob("*.yaml"), *ROOT.glob("*.compiled.json")):
            shutil.copy(path, site / "tinytorch_datasets" / path.name)

        self.sums(as_user(UNKNOWN, "-c", SUMS, package=site, env=home))
        (common / "train-images-idx3-ubyte.gz").write_bytes(b"whatever it is")
        asked = f"from tinytorch_datasets import get; get('mnist', offline=True, mirror={str(common)!r})"
        result = as_user(UNKNOWN, "-c", asked, package=site, env=home).stderr.splitlines()
        assert result[-2].startswith("tinytorch_datasets.errors.StorageError: "), result
        assert result[-1].startswith(("  Set TINYTORCH_DATASETS_HOME to", "  Ask its owner", "  Move it", "  Look at"))

    def test_a_folder_of_another_users(self, common: Path) -> None:
        """As the clone of a class, out of which everybody reads."""
        self.sums(as_user(UNKNOWN, "-c", SUMS, env={"TINYTORCH_DATASETS_HOME": str(common / "home")}))

    def test_what_has_to_be_fetched_needs_a_folder(self, tmp_path: Path) -> None:
        """It is not fetched into memory."""
        stick = tmp_path / "stick"
        stick.mkdir()
        (stick / "train-images-idx3-ubyte.gz").write_bytes(b"there, whatever it is")
        with mounted(tmp_path / "disk", "ro") as disk:
            with pytest.raises(StorageError) as caught:
                get("mnist", home=disk / "home", offline=True, mirror=stick)
            with pytest.raises(OfflineError):  # nothing could come, so it is no matter where to
                get("mnist", home=disk / "home", offline=True)

        assert caught.value.what == f"{disk}/home/mnist cannot be written: the file system is read-only"


@needs_root
def test_a_disk_with_room_for_the_download_alone(tmp_path: Path) -> None:
    """What will be decoded is counted too: both numbers are reported, and not a byte is downloaded."""
    source = tmp_path / "mirror" / "x" / "x.npz"
    source.parent.mkdir(parents=True)
    np.savez_compressed(source, v=np.zeros((1000, 8, 1024), np.uint8))
    raw = source.read_bytes()
    (tmp_path / "datasets.yaml").write_text(f"""
version: 1
datasets:
  x:
    title: Zeros
    status: remote
    source: made here
    license: CC0-1.0
    format: npz
    fields: {{v: {{dtype: uint8, shape: [8, 1024]}}}}
    splits: {{train: {{samples: 1000, v: v, file: x.npz}}}}
    mirrors: [http://127.0.0.1:9/]
    files: {{x.npz: {{bytes: {len(raw)}, sha256: {hashlib.sha256(raw).hexdigest()}}}}}
""")
    with mounted(tmp_path / "disk", "size=4m") as disk:
        with pytest.raises(StorageError) as caught:
            get("x", manifest=tmp_path / "datasets.yaml", home=disk / "home", mirror=tmp_path / "mirror")
        left = [path for path in disk.rglob("*") if path.is_file() and path.suffix != ".lock"]

    assert caught.value.errno == errno.ENOSPC
    assert f"{len(raw):,} bytes" in caught.value.what
    assert "8,192,000 bytes" in caught.value.what
    assert not left


def with_homes(*homes: Path) -> dict[str, str]:
    """Variables for homes of which the first is the closed one."""
    common = homes[0].parents[1]
    return {
        "TINYTORCH_DATASETS_HOME": ":".join(map(str, homes)),
        "TINYTORCH_DATASETS_MANIFEST": str(common / "m.yaml"),
        "TINYTORCH_DATASETS_MIRROR": str(common / "mirror"),
    }


def five_numbers(common: Path) -> None:
    """Declare five numbers twice: as what ships, and as what is fetched from a folder."""
    from tests.helpers.faulty_server import sha256

    np.save(common / "x.npy", np.arange(5))
    raw = (common / "x.npy").read_bytes()
    for folder in ("datasets/shipped", "mirror/remote"):
        (common / folder).mkdir(parents=True)
        shutil.copy(common / "x.npy", common / folder / "x.npy")
    entry = f"""
    title: Five numbers
    source: https://example.org
    license: CC0-1.0
    format: npy
    fields: {{v: {{dtype: int64}}}}
    splits: {{train: {{samples: 5, v: x.npy}}}}
    files:
      x.npy: {{bytes: {len(raw)}, sha256: {sha256(raw)}"""
    (common / "m.yaml").write_text(
        f"version: 1\ndownload_to: home\ndatasets:\n  shipped:\n    status: shipped{entry}}}\n"
        f"  remote:\n    status: remote{entry}, urls: [http://127.0.0.1:9/x.npy]}}\n"
    )
    for path in common.rglob("*"):
        path.chmod(0o755)


@pytest.fixture(scope="module")
def users() -> Iterator[tuple[int, int]]:
    """Two users who are really there."""
    if not shutil.which("useradd"):
        pytest.skip("there is no useradd")
    names = [f"ttd{number}{Path(tempfile.mktemp()).name[-6:].lower()}" for number in "ab"]
    for name in names:
        subprocess.run(["useradd", "--no-create-home", name], check=True, capture_output=True)
    ids = [int(subprocess.run(["id", "-u", n], check=True, capture_output=True, text=True).stdout) for n in names]
    yield ids[0], ids[1]
    for name in names:
        subprocess.run(["userdel", name], check=False, capture_output=True)


@pytest.fixture(scope="module")
def closed(users: tuple[int, int]) -> Iterator[Path]:
    """The home of the first user, which is closed to all others and holds everything; beside it is the manifest."""
    with open_to_all() as common:
        five_numbers(common)
        (common / "a").mkdir(mode=0o755)
        shutil.chown(common / "a", users[0], users[0])
        env = with_homes(common / "a" / "closed")
        code = "from tinytorch_datasets import get; get('remote'); get('shipped')"
        done = as_user(users[0], "-c", code, umask=0o077, env=env)
        assert not done.returncode, done.stderr
        yield common / "a" / "closed"


@pytest.fixture(scope="module")
def second(users: tuple[int, int]) -> Iterator[Forks]:
    """Processes of the second user."""
    with becoming(users[1]) as (command, environment):
        forks = Forks(*command, env=environment)
        yield forks
        forks.close()


@pytest.fixture(scope="module")
def unknown() -> Iterator[Forks]:
    """Processes of the user whom nobody knows."""
    with becoming(UNKNOWN) as (command, environment):
        forks = Forks(*command, env=environment)
        yield forks
        forks.close()


@needs_root
class TestTwoUsers:
    """Two users on one computer, the folder of one in the list of the other."""

    @pytest.mark.parametrize("own", ["second in the list", "nowhere"])
    @pytest.mark.parametrize(
        "command",
        [
            ("get", "shipped"),
            ("get", "remote"),
            ("audit",),
            ("list",),
            ("info", "remote"),
            ("path", "remote"),
            ("lock", "shipped", "--output", "-"),
            ("lock", "remote", "--output", "-"),
            ("clean", "remote"),
        ],
        ids=lambda command: " ".join(command[:2]),
    )
    def test_every_command(
        self, command: tuple[str, ...], own: str, common: Path, closed: Path, users: tuple[int, int], second: Forks
    ) -> None:
        """Nothing of the closed folder is needed; and no error is a bare one of the system's."""
        shutil.chown(common, users[1], users[1])
        env = with_homes(closed, *([] if own == "nowhere" else [common / "own"]))
        done = second.python("-m", "tinytorch_datasets", *command, env=env, cwd="/")

        assert "Traceback" not in done.stderr, done.stderr
        needs_a_home = own == "nowhere" and command in (("get", "remote"), ("audit",), ("clean", "remote"))
        assert (done.returncode == 0) is (not needs_a_home and command[:2] != ("lock", "remote")), done
        unread = f"{closed} cannot be read: you may not read it"
        if command == ("audit",):  # a finding, or a warning: what is in the closed folder is not known
            shown = f"{unread}; nothing in it was checked" + ("" if done.returncode else " (warning)")
            assert shown in done.stdout.splitlines()[-4]
            owner = subprocess.run(["id", "-un", str(users[0])], capture_output=True, text=True, check=True).stdout
            assert f"Ask its owner, {owner.strip()}, for the right to, or set TINYTORCH_DATASETS_HOME" in done.stdout
        elif done.returncode:
            assert done.stderr.startswith("error: ")
        if command[:2] == ("lock", "remote") and own == "nowhere":
            assert done.stderr.startswith(f"error: {unread}")
        if command == ("get", "remote") and done.returncode:
            cure = "Ask its owner for the right to, or set TINYTORCH_DATASETS_HOME to a folder of your own."
            assert done.stderr.splitlines()[-1].strip() == cure


@needs_root
class TestClosedFolders:
    """A folder that may not be looked into: what is in it is not known, and that is never said to match."""

    @pytest.fixture
    def world(self, common: Path) -> World:
        """Everything is there, and the user whom nobody knows owns it."""
        world = build(common / "world")
        for path in (world.root, *world.root.rglob("*")):
            shutil.chown(path, UNKNOWN, UNKNOWN)
        return world

    def run(self, unknown: Forks, world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as that user."""
        env = {"TINYTORCH_DATASETS_MANIFEST": str(world.manifest)}
        return unknown.python("-m", "tinytorch_datasets", *arguments, env=env, cwd="/")

    @pytest.mark.parametrize(
        "closed", ["home", "home/digits", "home/.cache", "home/.cache/entries", "datasets/talk", "datasets"]
    )
    def test_an_audit_fails_by_its_name(self, unknown: Forks, world: World, closed: str) -> None:
        """By each data set in it, with the folder and the command that opens it; every other data set is checked."""
        folder = world.root / closed
        folder.chmod(0)
        try:
            done = self.run(unknown, world, "audit", "--json")
        finally:
            folder.chmod(0o755)
        report = json.loads(done.stdout)

        assert done.returncode == 1, done.stdout
        of = {"datasets": ["flowers", "talk"], "home": ["digits"], "home/digits": ["digits"], "datasets/talk": ["talk"]}
        findings = [finding for finding in report["findings"] if finding["severity"] == "error"]
        assert [finding["dataset"] for finding in findings] == of.get(closed, [""])
        for finding in findings:
            assert (finding["rule"], finding["path"]) == ("unreadable", str(folder))
            assert finding["what"] == f"{folder} cannot be read: you may not read it; nothing in it was checked"
            assert finding["hint"].startswith(f"Give yourself the right to: `chmod u+rwx {folder}`")
        unchecked = [row["name"] for row in report["datasets"] if row["state"] == "not checked"]
        assert unchecked == of.get(closed, [])

    def test_what_is_named_in_it_may_be_there(self, unknown: Forks, world: World) -> None:
        """A script that `used_by` names, and the target of a link among what ships: neither ends the audit."""
        folder = world.root / "scripts"
        folder.mkdir()
        (folder / "use.py").touch()
        world.manifest.write_text(world.manifest.read_text().replace("[use.py]", "[scripts/use.py]"))
        (world.root / "datasets" / "README").symlink_to(folder / "use.py")
        shutil.chown(folder, UNKNOWN, UNKNOWN)
        folder.chmod(0)
        try:
            reports = [json.loads(self.run(unknown, world, "audit", "--json").stdout) for _ in range(2)]
        finally:
            folder.chmod(0o755)

        assert {finding["what"] for finding in reports[0]["findings"]} == {
            "used_by names scripts/use.py, which may be there: a folder on the way may not be looked into"
        }
        assert reports[0] == reports[1]

    @pytest.mark.parametrize("names", [(), ("digits",)], ids=["all", "named"])
    def test_a_lock_leaves_none_out(self, unknown: Forks, world: World, names: tuple[str, ...]) -> None:
        """What cannot be known to be on disk is no reason to lock the others alone."""
        folder = world.root / "home" / "digits"
        folder.chmod(0)
        try:
            done = self.run(unknown, world, "lock", *names)
        finally:
            folder.chmod(0o755)

        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {folder} cannot be read: you may not read it\n")
        assert not (world.root / "datasets.lock").exists()

    def test_a_lock_is_compared_with_all_of_it(self, unknown: Forks, world: World) -> None:
        """`audit --lock` does not take what it cannot see for what is not on disk."""
        assert self.run(unknown, world, "lock").returncode == 0
        folder = world.root / "home" / "digits"
        folder.chmod(0)
        try:
            done = self.run(unknown, world, "audit", "--only", "shipped", "--lock")
        finally:
            folder.chmod(0o755)

        assert done.returncode == 1
        assert f"digits is locked, and was not compared: {folder} cannot be read" in done.stdout

    def test_clean_names_it(self, unknown: Forks, world: World) -> None:
        """What may be in it is not said to be gone; everything else is."""
        folder = world.root / "home" / "digits"
        folder.chmod(0)
        try:
            done = self.run(unknown, world, "clean", "--yes")
        finally:
            folder.chmod(0o755)

        assert done.returncode == 1
        assert done.stderr == (
            f"error: {folder} cannot be read: you may not read it\n"
            f"  Give yourself the right to: `chmod u+rwx {folder}`, "
            "or set TINYTORCH_DATASETS_HOME to a folder of your own.\n"
        )
        assert not list((world.root / "home" / ".cache" / "arrays").iterdir())
        assert len(list(folder.iterdir())) == 4

    def test_clean_goes_on_at_the_next_home(self, unknown: Forks, world: World) -> None:
        """Files of the first, which is another user's, cannot be removed; those of the second are."""
        first, second = world.root / "first", world.root / "home"
        shutil.copytree(second, first)  # of root, as whoever copies is
        env = {
            "TINYTORCH_DATASETS_MANIFEST": str(world.manifest),
            "TINYTORCH_DATASETS_HOME": f"{first}:{second}",
        }
        done = unknown.python("-m", "tinytorch_datasets", "clean", "digits", "--json", env=env, cwd="/")
        [row] = json.loads(done.stdout)

        assert done.returncode == 1
        assert [path.name for path in (second / "digits").iterdir()] == []
        assert len(list((first / "digits").iterdir())) == 4
        files = ["train-images", "train-labels", "test-images", "test-labels"]
        errors = [f"{first}/digits/{file} cannot be removed: you may not write in {first}/digits" for file in files]
        assert [error for error in row["errors"] if ".cache" not in error] == errors
        assert any(error.startswith(f"{first}/.cache/arrays/digits-") for error in row["errors"])
        hints = {line for line in done.stderr.splitlines() if line.startswith("  ")}
        assert "  Ask its owner, root, for the right to." in hints
        assert row["bytes"] > 354
