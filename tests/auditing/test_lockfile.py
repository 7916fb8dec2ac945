"""The lock file: the hashes of all bytes and values on disk, and what differs from them later."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.helpers.audit_world import World, build, images
from tests.helpers.faulty_server import sha256
from tests.pipeline.test_shards import declare, npy
from tinytorch_datasets import get
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.cli import main


def record(world: World, *arguments: str) -> Any:
    """The record that `tinytorch-datasets lock --output -` prints."""
    result = CliRunner().invoke(main, ["lock", "--output", "-", "--manifest", str(world.manifest), *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def lock(world: World) -> Path:
    """The lock of the world as it is."""
    assert CliRunner().invoke(main, ["lock", "--manifest", str(world.manifest)]).exit_code == 0
    return world.root / "datasets.lock"


class TestTheRecord:
    """Library, manifest, files, values: each by its hash, worked out here by hand."""

    def test_it_has_every_hash(self, world: World) -> None:
        """Of the manifest's bytes, of each file's, of each field's dtype, shape and C-order values."""
        shown_text = record(world)
        values = images(0, 12)
        texts = b"".join(len(t).to_bytes(8, "little") + t for t in (b"Hello!", b"How are you?", b"Goodbye."))

        assert shown_text["library"] == {"name": "tinytorch-datasets", "version": VERSION}
        assert shown_text["manifest"] == {"file": "datasets.yaml", "sha256": sha256(world.manifest.read_bytes())}
        assert list(shown_text["datasets"]) == ["flowers", "talk", "digits"]
        digits = shown_text["datasets"]["digits"]
        raw = world.file("digits/train-images").read_bytes()
        assert digits["files"]["train-images"] == {"bytes": len(raw), "sha256": sha256(raw)}
        assert digits["contents"]["train"]["images"] == {
            "dtype": "uint8", "shape": [12, 4, 4], "sha256": sha256(b"uint8 12x4x4\n" + values.tobytes())}  # fmt: skip
        assert digits["contents"]["test"]["labels"]["sha256"] == sha256(
            b"int64 6\n" + (np.arange(6) % 3).astype("<i8").tobytes()
        )
        assert shown_text["datasets"]["talk"]["contents"]["train"]["lines"]["sha256"] == sha256(b"str 3\n" + texts)

    def test_only_what_is_on_disk_is_recorded(self, world: World) -> None:
        """Unless it is named: then it must be."""
        world.file("digits/test-labels").unlink()
        shown_text = CliRunner().invoke(main, ["lock", "digits", "--manifest", str(world.manifest)])

        assert list(record(world)["datasets"]) == ["flowers", "talk"]
        assert (shown_text.exit_code, shown_text.stderr) == (
            1,
            f"error: digits is not on disk: test-labels\n  declared at datasets.yaml:{world.line('  digits:')}\n"
            f"  `tinytorch-datasets get digits --manifest {world.manifest}` downloads it.\n",
        )

    def test_what_is_on_disk_in_part_is_named(self, world: World) -> None:
        """On stderr, so that what a program reads stays as it is; a message has a few names of files."""
        for name in ("train-labels", "test-labels"):
            world.file(f"digits/{name}").unlink()
        written = CliRunner().invoke(main, ["lock", "--json", "--manifest", str(world.manifest)])

        assert json.loads(written.stdout)["datasets"] == ["flowers", "talk"]
        assert written.stderr == "left out: digits, of which 2 of 4 files are on disk\n"
        to_stdout = CliRunner().invoke(main, ["lock", "--output", "-", "--manifest", str(world.manifest)])
        assert to_stdout.stderr == written.stderr
        assert list(json.loads(to_stdout.stdout)["datasets"]) == ["flowers", "talk"]

    def test_what_ships_and_is_gone_is_named(self, world: World) -> None:
        """It is to be there, so that nothing of it is no lesser fault than a part."""
        world.file("talk/talk.txt").unlink()
        written = CliRunner().invoke(main, ["lock", "--manifest", str(world.manifest)])

        assert written.exit_code == 0
        assert written.stderr == "left out: talk, of which 0 of 1 file is on disk\n"

    def test_a_message_has_a_few_names_of_files(self, tmp_path: Path) -> None:
        """Of a data set in thousands of shards it would be no message."""
        entry = (
            "format: npy\nfields: {x: {dtype: int64}}\nmirrors: [https://mirror.invalid/]\n"
            "splits: {train: {samples: 12, shard_samples: 1, x: '*.npy'}}"
        )
        files = {f"{number:02}.npy": npy(np.array([number])) for number in range(12)}
        manifest = declare(tmp_path, entry, files, status="remote")
        refused = CliRunner().invoke(
            main, ["lock", "made", "--manifest", str(manifest), "--home", str(tmp_path / "home")]
        )

        assert refused.stderr.splitlines()[0] == (
            "error: made is not on disk: 00.npy, 01.npy, 02.npy, 03.npy, 04.npy and 7 more"
        )

    def test_a_damaged_file_is_not_recorded(self, world: World) -> None:
        """A lock of wrong bytes would make them right."""
        world.flip(world.file("talk/talk.txt"))
        shown_text = CliRunner().invoke(main, ["lock", "--manifest", str(world.manifest)])

        assert (shown_text.exit_code, shown_text.stdout) == (1, "")
        assert "is not the" in shown_text.stderr
        assert not (world.root / "datasets.lock").exists()

    def test_a_file_that_cannot_be_read_is_not_reported_as_another(self) -> None:
        """By a user who is not root, to whom the system says no."""
        root = Path(tempfile.mkdtemp())
        try:
            root.chmod(0o755)
            world = build(root)
            world.file("talk/talk.txt").chmod(0)
            line = world.line("talk.txt: {b")
            code = (
                "import os, sys, pathlib, concurrent.futures.thread\n"
                "from tinytorch_datasets import pipeline\n"
                "from tinytorch_datasets.auditing import lockfile\n"
                f"loaded = pipeline.manifests.read(pathlib.Path({str(world.manifest)!r}))\n"
                "if os.geteuid() == 0: os.setuid(65534)\n"
                "try: lockfile.record(loaded, ['talk'])\n"
                "except Exception as error: print(f'{type(error).__name__}: {error}')\n"
            )
            command = [sys.executable, "-c", code]
            shown_text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
        finally:
            shutil.rmtree(root)

        assert shown_text == (
            f"StorageError: {world.root}/datasets/talk/talk.txt cannot be read: you may not read it\n"
            f"  declared at datasets.yaml:{line}\n"
            "  Ask its owner for the right to.\n"
        )

    def test_it_is_written_beside_the_manifest(self, world: World) -> None:
        """Whole, and the same as `--output -` prints; --output names another file, --json reports the path."""
        shown_text = CliRunner().invoke(main, ["lock", "--manifest", str(world.manifest)])
        other = world.root / "talk.lock"
        named = CliRunner().invoke(
            main, ["lock", "talk", "--json", "-o", str(other), "--manifest", str(world.manifest)]
        )

        assert shown_text.stdout == f"{world.root / 'datasets.lock'}: 3 data sets: flowers, talk, digits\n"
        assert json.loads((world.root / "datasets.lock").read_text()) == record(world)
        assert json.loads(named.stdout) == {"path": str(other), "datasets": ["talk"]}
        assert list(json.loads(other.read_text())["datasets"]) == ["talk"]

    def test_it_replaces_a_lock_and_nothing_else(self, world: World, lock: Path) -> None:
        """A manifest named by mistake stays as it is."""
        before = world.manifest.read_bytes()
        again = CliRunner().invoke(main, ["lock", "--manifest", str(world.manifest)])
        shown_text = CliRunner().invoke(main, ["lock", "-o", str(world.manifest), "--manifest", str(world.manifest)])

        assert (again.exit_code, shown_text.exit_code, world.manifest.read_bytes()) == (0, 2, before)
        assert shown_text.stderr == (
            f"error: {world.manifest} exists, and is not a lock file\n"
            "  Name another file with --output, or delete this one.\n"
        )

    def test_info_has_a_line_to_cite_it_by(self, world: World) -> None:
        """The one that `get(...).provenance` gives."""
        line = get("digits", manifest=world.manifest).provenance
        shown_text = CliRunner().invoke(main, ["info", "digits", "--manifest", str(world.manifest)])
        as_json = CliRunner().invoke(main, ["info", "digits", "--json", "--manifest", str(world.manifest)])

        assert f"provenance  {line}\n" in shown_text.stdout
        assert json.loads(as_json.stdout)["provenance"] == line


class TestTheLock:
    """`audit --lock` fails when anything moved."""

    def test_nothing_moved(self, world: World, lock: Path) -> None:
        """Exit 0, with names too; the lock beside the manifest need not be named."""
        assert world.audit("--lock")[0] == 0
        assert world.audit("--lock", str(lock))[0] == 0
        assert world.audit("digits", "--lock", str(lock))[0] == 0

    def test_a_moved_manifest(self, world: World, lock: Path) -> None:
        """A comment is enough: it is another manifest."""
        world.manifest.write_text(world.manifest.read_text() + "# more\n")
        code, shown_text = world.audit("--lock", str(lock))

        assert (code, [(f["rule"], f["line"]) for f in shown_text["findings"]]) == (1, [("lock", 1)])
        assert shown_text["findings"][0]["what"].startswith("manifest sha256 is ")

    def test_moved_bytes_and_values(self, world: World, lock: Path) -> None:
        """A file that was changed with its declaration matches the manifest, and not the lock."""
        before = sha256(world.file("talk/talk.txt").read_bytes())
        world.put("talk/talk.txt", b"Hello!\nWho are you?\nGoodbye.\n")
        assert world.audit()[0] == 0
        code, shown_text = world.audit("--lock", str(lock))

        assert code == 1
        what = [f["what"].splitlines()[0] for f in shown_text["findings"] if f["dataset"] == "talk"]
        assert what == ["file talk.txt has sha256", "values of train.lines are str [3] of sha256"]
        assert f"locked is\n    {before}" in next(f["what"] for f in shown_text["findings"] if "talk.txt" in f["what"])

    def test_the_same_bytes_read_otherwise(self, world: World, lock: Path) -> None:
        """The files are the same, an option is not: the values moved."""
        world.edit("classes: [rose, tulip]", "classes: [tulip, rose]")
        _, shown_text = world.audit("flowers", "--lock", str(lock))

        assert [f["what"].splitlines()[0] for f in shown_text["findings"] if f["dataset"] == "flowers"] == [
            "values of train.labels are int64 [20] of sha256",
            "values of test.labels are int64 [10] of sha256",
        ]

    def test_a_data_set_that_is_gone(self, world: World, lock: Path) -> None:
        """From the manifest: an error. From the disk: a warning, for it did not change."""
        world.edit("  talk:", "  chat:")
        (world.root / "datasets/talk").rename(world.root / "datasets/chat")
        world.file("digits/test-labels").unlink()
        _, shown_text = world.audit("--lock", str(lock))

        assert [(f["what"], f["severity"]) for f in shown_text["findings"] if f["rule"] == "lock"][1:] == [
            ("talk is locked, but no longer declared", "error"),
            ("digits is locked, but not on disk, so it was not compared", "warning"),
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", " is not a lock file: it is not JSON (Expecting property name enclosed in double quotes: "),
            ("[" * 100_000, " is not a lock file: it is not JSON ("),
            ("{}", " is not a lock file\n"),
            ('{"lock": 1, "library": {}, "manifest": 3, "datasets": {}}', " is not a lock file\n"),
            ('{"lock": 1, "library": {}, "manifest": {}, "datasets": {"talk": {}}}', " is not a lock file\n"),
            (
                '{"lock": 1, "library": {}, "manifest": {}, "datasets": {"talk": {"files": {"f": 1}, "contents": {}}}}',
                " is not a lock file\n",
            ),
            (
                '{"lock": 1, "library": {}, "manifest": {}, "datasets": {"talk": {"files": {}, "contents": {"s": 1}}}}',
                " is not a lock file\n",
            ),
            (None, " cannot be read: No such file or directory\n"),
        ],
    )
    def test_what_is_no_lock(self, world: World, text: str | None, message: str) -> None:
        """The call is wrong: exit 2."""
        path = world.root / "x.lock"
        if text is not None:
            path.write_text(text)
        shown_text = CliRunner().invoke(main, ["audit", "--manifest", str(world.manifest), "--lock", str(path)])

        assert shown_text.exit_code == 2
        assert shown_text.stderr.startswith(f"error: {path}{message}")
        assert shown_text.stderr.endswith(
            f"\n  Run `tinytorch-datasets lock --manifest {world.manifest}` to write one.\n"
        )
