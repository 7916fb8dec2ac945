"""A mirror in a store has what a mirror folder has, and each file is compared with what the store has of it."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.helpers.audit_world import World
from tinytorch_datasets import get, load_manifest
from tinytorch_datasets.auditing.audit import audit
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import FetchError, HashMismatch, StorageError, UsageError
from tinytorch_datasets.fetch import Cancellation, RetryPolicy, Stored
from tinytorch_datasets.fetch.base import PermanentError
from tinytorch_datasets.mirror.bucket import mirror_to_store
from tinytorch_datasets.mirror.copy import mirror

fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed")

HASTE = RetryPolicy(backoff_first_s=0.01, backoff_limit_s=0.02, poll_s=0.01)


@pytest.fixture
def store() -> Iterator[dict[str, Any]]:
    """What memory:// has, which is empty before and after: a file by its path."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files.store
    files.store.clear()


def contents(store: dict[str, Any]) -> dict[str, bytes]:
    """The bytes of each file below /class."""
    return {path.removeprefix("/class/"): file.getvalue() for path, file in store.items()}


class TestMirror:
    """`mirror memory://class` writes what `mirror class` writes."""

    def test_the_same_as_in_a_folder(self, world: World, store: dict[str, Any], tmp_path: Path) -> None:
        """Byte for byte, but for the page that a browser opens."""
        manifest = load_manifest(world.manifest)
        in_folder = mirror(manifest, tmp_path / "class", [])
        in_store = mirror_to_store(manifest, "memory://class", [], retry=HASTE)

        files = [path for path in (tmp_path / "class").rglob("*") if path.is_file()]
        written = {path.relative_to(tmp_path / "class").as_posix(): path.read_bytes() for path in files}
        assert contents(store) == written
        assert in_store == in_folder

    def test_get_reads_it(self, world: World, store: dict[str, Any], tmp_path: Path) -> None:
        """From the store alone."""
        mirror_to_store(load_manifest(world.manifest), "memory://class", ["digits"], retry=HASTE)
        home = tmp_path / "another"

        assert len(get("digits", manifest=world.manifest, home=home, mirror="memory://class", offline=True).train) == 12

    def test_what_is_there_is_left_alone(self, world: World, store: dict[str, Any]) -> None:
        """And what is another file is replaced."""
        manifest = load_manifest(world.manifest)
        mirror_to_store(manifest, "memory://class", ["digits"], retry=HASTE)
        before = dict(store)
        wrong = bytearray(store["/class/digits/train-images"].getvalue())
        wrong[-1] ^= 1
        fsspec.filesystem("memory").pipe_file("/class/digits/train-images", bytes(wrong))
        [again] = mirror_to_store(manifest, "memory://class", ["digits"], retry=HASTE)

        assert (again.copied, again.kept) == (1, 3)
        assert {path: file.getvalue() for path, file in store.items()} == {
            path: file.getvalue() for path, file in before.items()
        }
        assert store["/class/SHA256SUMS"] is before["/class/SHA256SUMS"]

    def test_other_data_sets_stay_listed(self, world: World, store: dict[str, Any]) -> None:
        """SHA256SUMS has what earlier runs put there."""
        manifest = load_manifest(world.manifest)
        for name in ("digits", "talk"):
            mirror_to_store(manifest, "memory://class", [name], retry=HASTE)

        listed = [line.split("  ") for line in contents(store)["SHA256SUMS"].decode().splitlines()]
        assert {name: hashlib.sha256(data).hexdigest() for name, data in contents(store).items()} == {
            **{name: sha256 for sha256, name in listed},
            "SHA256SUMS": hashlib.sha256(contents(store)["SHA256SUMS"]).hexdigest(),
        }

    @pytest.mark.parametrize("line", [b"x" * 2**26 + b"\n", b"\n" * 2**20 + b"\n"], ids=["bytes", "lines"])
    def test_a_list_that_is_too_long_is_not_replaced(
        self, line: bytes, world: World, store: dict[str, Any], tmp_path: Path
    ) -> None:
        """By one of this run's files alone, as if it had been empty; neither there nor in a folder, which bounds it."""
        manifest, sums = load_manifest(world.manifest), b"0" * 64 + b"  mine\n" + line
        fsspec.filesystem("memory").pipe_file("/class/SHA256SUMS", sums)
        folder = tmp_path / "class"
        folder.mkdir()
        (folder / "SHA256SUMS").write_bytes(sums)
        long = "it has more than 67,108,864 bytes or 1,048,576 lines, of which nothing was taken"

        with pytest.raises(FetchError) as in_store:
            mirror_to_store(manifest, "memory://class", ["digits"], retry=HASTE)
        with pytest.raises(StorageError) as in_folder:
            mirror(manifest, folder, ["digits"])
        assert str(in_store.value) == (
            "SHA256SUMS could not be put into the store:\n"
            f"  memory://class/SHA256SUMS: {long}\n"
            "  See what it is, and delete it: it is written anew."
        )
        unread = f"{folder / 'SHA256SUMS'} cannot be read: {long}"
        assert str(in_folder.value) == f"{unread}\n  See what it is, and delete it: it is written anew."
        of_command = CliRunner().invoke(main, ["mirror", str(folder), "digits", "--manifest", str(world.manifest)])
        assert of_command.stderr.endswith(f"error: {in_folder.value}\n")
        assert contents(store)["SHA256SUMS"] == sums == (folder / "SHA256SUMS").read_bytes()
        in_store_too = f"memory://class/SHA256SUMS {long.removeprefix('it ')}"
        for place, what in ((folder, unread), ("memory://class", in_store_too)):
            hints = {its.what: its.hint for its in audit(manifest=world.manifest, mirror=place).findings}
            again = f"`tinytorch-datasets mirror {place}{'/' * (place != folder)}` writes it anew."
            assert hints[what] == f"See what it is, and delete it: {again}"

    def test_a_wrong_file_is_not_put(self, world: World, store: dict[str, Any]) -> None:
        """It is compared on this computer first."""
        world.flip(world.file("digits/train-images"))
        with pytest.raises(HashMismatch):
            mirror_to_store(load_manifest(world.manifest), "memory://class", ["digits"], retry=HASTE)

        assert "/class/digits/train-images" not in store

    def test_a_store_that_has_other_bytes_then(self, world: World) -> None:
        """What is put is read again."""

        class Forgetful(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
            def cat_file(self, path: str, **more: Any) -> bytes:
                return bytes(len(super().cat_file(path, **more)))

        from fsspec.registry import _registry

        before = _registry.get("az")
        fsspec.register_implementation("az", Forgetful, clobber=True)
        Forgetful.store = {}
        try:
            with pytest.raises(FetchError) as caught:
                mirror_to_store(load_manifest(world.manifest), "az://class", ["digits"], retry=HASTE)
        finally:
            _registry.pop("az")
            if before is not None:
                _registry["az"] = before
        assert str(caught.value) == (
            "digits/train-images could not be put into the store:\n"
            "  az://class/digits/train-images: it has other bytes than those that were put\n"
            "  Run it again: what is there already is left alone."
        )

    @pytest.mark.parametrize("way", ["an error", "Ctrl-C"])
    def test_half_a_file_is_not_put(self, way: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever ended it, and whatever that library makes of a file that was not closed."""
        begun, put = threading.Event(), list[bytes]()

        class Slow(fsspec.AbstractFileSystem):  # type: ignore[misc]
            protocol = "az"

            def info(self, path: str, **more: Any) -> dict[str, Any]:
                raise FileNotFoundError(path)

            def _open(self, path: str, mode: str = "rb", **more: Any) -> Any:
                return Upload(self, path, mode, block_size=4)

        class Upload(fsspec.spec.AbstractBufferedFile):  # type: ignore[misc]
            def _initiate_upload(self) -> None:
                pass

            def _upload_chunk(self, final: bool = False) -> bool:
                put.append(self.buffer.getvalue())
                return True

        def chunks() -> Iterator[bytes]:
            yield b"half "
            begun.set()
            if way == "an error":
                raise PermissionError
            while True:
                time.sleep(0.01)
                yield b""

        def interrupt() -> None:
            assert begun.wait(20)
            os.kill(os.getpid(), signal.SIGINT)

        from fsspec.registry import _registry

        monkeypatch.setitem(_registry, "az", Slow)
        stored = Stored("az://class/points.bin", HASTE, Cancellation())
        if way == "Ctrl-C":
            threading.Thread(target=interrupt).start()
        with pytest.raises(PermanentError if way == "an error" else KeyboardInterrupt):
            stored.put(chunks())
        for thread in [each for each in threading.enumerate() if each.name == "tinytorch-datasets-store"]:
            thread.join(1)
            assert not thread.is_alive()
        gc.collect()

        assert put == [b"half "]

    def test_an_address_with_a_key(self, world: World) -> None:
        """It is refused before anything is read."""
        with pytest.raises(UsageError) as caught:
            mirror_to_store(load_manifest(world.manifest), "s3://ada:secret@bucket/class", [])
        assert "secret" not in str(caught.value)


class TestCommands:
    """Addresses on the command line."""

    def test_mirror_and_get(self, world: World, store: dict[str, Any]) -> None:
        """The instructor types one, students the other."""
        run = CliRunner().invoke
        of = ["--manifest", str(world.manifest)]
        put = run(main, ["mirror", "memory://class", "digits", *of])
        assert (put.exit_code, put.stdout) == (0, "digits: 4 files copied, 0 already there, 354 B in total\n")
        for path in (world.root / "home" / "digits").iterdir():
            path.unlink()

        got = run(main, ["get", "digits", "--home", "memory://class", "--offline", *of])
        assert got.exit_code == 0, got.output
        assert not (world.root / "memory:").exists()

    @pytest.mark.parametrize(
        ("command", "error"),
        [
            (
                ["mirror", "memory://class", "--serve"],
                "--serve, --with-packages and --dask are of a mirror in a folder, not in a store",
            ),
            (
                ["mirror", "s3://bucket/class", "--offline"],
                "a mirror in a store opens sockets, and --offline forbids it",
            ),
            (["clean", "digits", "--home", "s3://b/x"], "error: --home is an address of s3://, where a path is needed"),
            (["audit", "--mirror", "s3://ada:secret@bucket"], "is given with credentials, which are of its store's"),
            (["get", "digits", "--home", "ftp://host/home"], "this is an address of ftp://, where a path is needed"),
            (["lock", "-o", "s3://bucket/x"], "this is an address of s3://, where a path is needed"),
            (
                ["path", "digits", "--home", "s3://ada:secret@bucket/home"],
                "this has credentials in it, which are of its store's configuration",
            ),
        ],
        ids=["serve", "offline", "clean", "audit", "ftp", "lock", "key"],
    )
    def test_what_is_refused(self, command: list[str], error: str, world: World) -> None:
        """In one sentence, and no folder is made that is called like the address."""
        result = CliRunner().invoke(main, [*command, "--manifest", str(world.manifest)])

        assert result.exit_code == 2
        assert error in result.output
        assert "secret" not in result.output
