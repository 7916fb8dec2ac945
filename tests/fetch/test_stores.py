"""Stores, by fsspec: their files pass the way that a mirror's do, whatever the library does on it."""

from __future__ import annotations

import errno
import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import fresh_process
from tests.helpers.audit_world import World
from tests.helpers.faulty_server import FaultyServer, serve, sha256
from tinytorch_datasets import get, load_manifest, settings
from tinytorch_datasets.auditing.doctor import in_force
from tinytorch_datasets.errors import FetchError, ManifestError, MissingLibrary, OfflineError, UsageError
from tinytorch_datasets.fetch import Cancellation, RetryPolicy, Stored, fetch
from tinytorch_datasets.fetch.base import ConnectionLost
from tinytorch_datasets.plan import File

fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed")
FileSystem: Any = fsspec.AbstractFileSystem
BufferedFile: Any = fsspec.spec.AbstractBufferedFile

HASTE = RetryPolicy(read_timeout_s=5, backoff_first_s=0.01, backoff_limit_s=0.02, poll_s=0.01)
DATA = random.Random(8).randbytes(700_001)
NAME = "points #1 é.bin"
HF = "hf://datasets/course/points"


def declared_file(*urls: str, data: bytes = DATA) -> File:
    """What a manifest would declare."""
    return File(name=NAME, bytes=len(data), sha256=sha256(data), urls=urls, where="datasets.yaml:7")


class Place:
    """A downloads folder with one data set in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.into = root, root / "downloads" / "points"

    def fetch(self, file: File, mirror: str | None = None, *, offline: bool = False, **more: Any) -> bytes:
        """Fetch a file, hastily; return what is there then."""
        options: dict[str, Any] = {"locks": self.root / "locks", "reuse_from": (), "retry": HASTE, **more}
        fetch(
            [file],
            self.into,
            folder="points",
            mirror=mirror,
            offline=offline,
            progress=lambda *done: None,
            dataset="points",
            **options,
        )
        return (self.into / file.name).read_bytes()

    def reasons(self, *args: Any, **more: Any) -> list[str]:
        """Why no address gave the file."""
        with pytest.raises(FetchError) as caught:
            self.fetch(*args, **more)
        return [why for _, why in caught.value.tried]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty downloads folder."""
    return Place(tmp_path)


@pytest.fixture
def stored() -> Iterator[Callable[[str, bytes], None]]:
    """What puts bytes at a path of memory://, which is empty before and after."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files.pipe_file
    files.store.clear()


class Hub(FileSystem):  # type: ignore[misc]
    """A file system of one's own under hf://: one file, what is asked of it, and how it fails."""

    protocol = "hf"
    data, tag = DATA, "1"
    asked: list[tuple[int, int]] = []  # noqa: RUF012
    acts: list[Callable[[bytes], bytes]] = []  # noqa: RUF012 # one for each range that is asked for

    def info(self, path: str, **more: Any) -> dict[str, Any]:
        """Its facts."""
        return {"name": path, "size": len(self.data), "type": "file", "ETag": self.tag}

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **more: Any) -> Any:
        return Ranges(self, path, mode, block_size, **more)


class Ranges(BufferedFile):  # type: ignore[misc]
    """Its bytes, by ranges."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        self.fs.asked.append((start, end))
        act = self.fs.acts.pop(0) if self.fs.acts else bytes
        return act(self.fs.data[start:end])


@pytest.fixture
def hub() -> Iterator[type[Hub]]:
    """That file system, registered as people register theirs."""
    before = dict(fsspec.registry)
    Hub.data, Hub.tag, Hub.asked, Hub.acts = DATA, "1", [], []
    fsspec.register_implementation("hf", Hub, clobber=True)
    yield Hub
    from fsspec.registry import _registry

    _registry.pop("hf")
    _registry.update({name: known for name, known in before.items() if name == "hf"})


def failing(error: Exception) -> Callable[[bytes], bytes]:
    """A range that ends in an error."""

    def act(data: bytes) -> bytes:
        raise error

    return act


class TestMirrors:
    """An address of a store may stand where one with https:// may."""

    @pytest.mark.parametrize("path", ["/class/points/", "/class/"])
    def test_as_the_given_mirror(self, path: str, place: Place, stored: Callable[[str, bytes], None]) -> None:
        """With folders or without; a name is not written in any code."""
        stored(path + NAME, DATA)

        assert place.fetch(declared_file(), "memory://class") == DATA

    def test_as_a_declared_address(self, place: Place, stored: Callable[[str, bytes], None]) -> None:
        """Also offline: what is in memory, or on this computer, is behind no network."""
        stored("/class/x.bin", DATA)

        assert place.fetch(declared_file("memory://class/x.bin"), offline=True) == DATA

    def test_no_store_of_a_network_is_asked_offline(self, place: Place, hub: type[Hub]) -> None:
        """It is as if it were not there."""
        with pytest.raises(OfflineError):
            place.fetch(declared_file(f"{HF}/x.bin"), offline=True)
        assert hub.asked == []

    def test_by_blocks_that_are_never_large(self, place: Place, hub: type[Hub]) -> None:
        """Each range is what was missing, one after the other; the largest has 4 MiB."""
        hub.data = DATA * 30
        assert place.fetch(declared_file(f"{HF}/x.bin", data=hub.data)) == hub.data

        assert [start for start, _ in hub.asked] == [0, *(end for _, end in hub.asked[:-1])]
        assert max(end - start for start, end in hub.asked) == 4 * 2**20

    def test_what_came_is_kept_after_a_cut(self, place: Place, hub: type[Hub]) -> None:
        """The rest is asked for, from the byte after the last that came."""
        hub.acts = [bytes, lambda data: data[:1000], lambda data: b""]
        assert place.fetch(declared_file(f"{HF}/x.bin")) == DATA

        assert [start for start, _ in hub.asked][:4] == [0, 65_536, 66_536, 66_536]

    def test_nothing_is_no_end(self, hub: type[Hub]) -> None:
        """Of what has no declared size either, such as a list of sums, which would look like a short one."""
        hub.acts = [bytes, lambda data: b""]

        with pytest.raises(ConnectionLost):
            list(Stored(f"{HF}/x.bin", HASTE, Cancellation()).open(0, None).chunks)

    def test_a_later_call_goes_on(self, place: Place, hub: type[Hub]) -> None:
        """As long as the store says that it is the same file."""
        hub.acts = [bytes, failing(PermissionError())]
        place.reasons(declared_file(f"{HF}/x.bin"))
        hub.asked.clear()

        assert place.fetch(declared_file(f"{HF}/x.bin")) == DATA
        assert hub.asked[0][0] == 65_536

    def test_a_file_that_was_replaced_begins_anew(self, place: Place, hub: type[Hub]) -> None:
        """Its tag says so, before bytes of two files are joined."""
        hub.acts = [bytes, failing(PermissionError())]
        place.reasons(declared_file(f"{HF}/x.bin"))
        hub.asked.clear()
        hub.tag = "2"

        assert place.fetch(declared_file(f"{HF}/x.bin")) == DATA
        assert hub.asked[0][0] == 0

    def test_a_wrong_byte_is_refused(self, place: Place, hub: type[Hub]) -> None:
        """Whoever keeps it."""
        hub.data = DATA[:-1] + bytes([DATA[-1] ^ 1])

        assert place.reasons(declared_file(f"{HF}/x.bin")) == ["sends other bytes than the declared ones"]
        assert not (place.into / NAME).exists()

    def test_another_size_is_refused_by_its_first_bytes(self, place: Place, hub: type[Hub]) -> None:
        """Nothing more is read."""
        hub.data = DATA + b"more"

        assert place.reasons(declared_file(f"{HF}/x.bin")) == ["has a file of 700,005 bytes, not 700,001"]
        assert hub.asked == [(0, 65_536)]

    def test_the_next_mirror_is_asked(self, place: Place, hub: type[Hub], server: FaultyServer) -> None:
        """And goes on from what the store gave."""
        hub.acts = [bytes, failing(PermissionError())]
        url = server.at("/f", serve(DATA))

        assert place.fetch(declared_file(f"{HF}/x.bin", url)) == DATA
        assert server.log[0].range == "bytes=65536-"


DENIED = "access was denied (credentials are from HF_TOKEN, or `hf auth login`)"


class RemoteError(Exception):
    """An error with the status of HTTP, as most libraries have one."""

    def __init__(self, status: int) -> None:
        super().__init__("https://example.org/?token=secret")
        self.status_code = status


class NoCredentialsError(Exception):
    """What botocore calls it."""


class TestErrors:
    """A library's own exceptions become sentences, of which no one quotes it."""

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (FileNotFoundError("secret"), "there is no such file"),
            (PermissionError("secret"), DENIED),
            (RemoteError(401), DENIED),
            (RemoteError(404), "there is no such file"),
            (RemoteError(418), "418, which is no answer of a file"),
            (RemoteError(429), "429 Too Many Requests (3 tries)"),
            (OSError(errno.EBUSY, "secret"), "503 Service Unavailable (3 tries)"),
            (ConnectionRefusedError(), "the connection was refused"),
            (ConnectionResetError(), "was cut off after 0 of 700,001 bytes (3 tries)"),
            (NoCredentialsError(), "no credentials that can be used are configured (HF_TOKEN, or `hf auth login`)"),
            (ZeroDivisionError("secret"), "its library gave up (ZeroDivisionError)"),
        ],
        ids=lambda value: type(value).__name__ + str(getattr(value, "status_code", "")),
    )
    def test_it_is_one_sentence(self, error: Exception, reason: str, place: Place, hub: type[Hub]) -> None:
        """What may pass is tried three times."""
        hub.acts = [failing(error)] * 20

        assert place.reasons(declared_file(f"{HF}/x.bin")) == [reason]

    def test_missing_credentials_are_to_be_configured(self, place: Place, hub: type[Hub]) -> None:
        """Waiting is of no use."""
        hub.acts = [failing(NoCredentialsError())]
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(f"{HF}/x.bin"))

        again = "run `tinytorch-datasets get points` again."
        assert caught.value.hint == f"Configure them for the library that reads that store, and {again}"

    def test_what_hangs_is_left_alone(self, place: Place, hub: type[Hub], server: FaultyServer) -> None:
        """At the deadline of a read; the next mirror is asked."""
        released = threading.Event()
        hub.acts = [lambda data: data if released.wait(20) else b""]
        haste = RetryPolicy(read_timeout_s=0.3, backoff_first_s=0.01, poll_s=0.01)
        try:
            file = declared_file(f"{HF}/x.bin", server.at("/f", serve(DATA)))
            assert place.fetch(file, retry=haste) == DATA
        finally:
            released.set()

    @pytest.mark.skipif(find_spec("gcsfs") is not None, reason="gcsfs is installed")
    def test_a_library_that_is_missing(self, place: Place, server: FaultyServer) -> None:
        """It is named before anything is fetched; and is in no other mirror's way."""
        file = declared_file("gs://bucket/x.bin")
        with pytest.raises(MissingLibrary) as caught:
            place.fetch(file)
        assert str(caught.value) == (
            "gs://bucket/x.bin: an address with gs:// needs gcsfs, which is not installed\n"
            "  declared at datasets.yaml:7\n"
            "  pip install 'tinytorch-datasets[gs]'"
        )
        assert not place.into.exists()

        assert place.fetch(declared_file("gs://bucket/x.bin", server.at("/f", serve(DATA)))) == DATA

    @pytest.mark.parametrize(
        ("mirror", "what"),
        [
            (
                "s3://ada:secret@bucket/class",
                "the mirror s3://bucket/class is given with credentials, which are of its store's configuration",
            ),
            (
                "s3://bucket/class?X-Amz-Signature=secret1secret",
                "the mirror s3://bucket/class?X-Amz-Signature=... has a '?' in it, after which no file's name can "
                "follow",
            ),
            ("s3:/ada:secret@bucket", "the mirror s3:/bucket is no address: s3:// has two slashes"),
            ("s3:///class", "the mirror s3:// names no bucket"),
            ("file://srv/class", "the mirror file://srv/class is on another computer; file:/// has three slashes"),
        ],
        ids=["password", "query", "slash", "bucket", "computer"],
    )
    def test_an_address_that_is_refused(self, mirror: str, what: str, place: Place) -> None:
        """Credentials are not taken from it, nor shown; and no folder of this computer is read in place of another."""
        with pytest.raises(UsageError) as caught:
            place.fetch(declared_file(), mirror)
        assert caught.value.what == what


class TestManifests:
    """What a manifest may say of stores."""

    @pytest.mark.parametrize(
        "mirror",
        [
            "s3://bucket/class/",
            "gs://bucket/",
            "az://container/class/",
            "hf://datasets/course/points/",
            "memory://class/",
            "file:///srv/class/",
        ],
    )
    def test_addresses_of_stores_are_mirrors(self, mirror: str, world: World) -> None:
        """The file's name is appended to them as it is."""
        world.edit("https://mirror.invalid/digits/", mirror)
        manifest = load_manifest(world.manifest)

        file = manifest.plan("digits").files[0]
        assert file.urls[-1] == mirror + file.name

    @pytest.mark.parametrize("key", ["storage_options", "client_kwargs", "token"])
    def test_credentials_are_refused(self, key: str, world: World) -> None:
        """They would be read by everybody who gets the manifest."""
        world.edit("    status: remote\n", f"    status: remote\n    {key}: {{}}\n")

        with pytest.raises(ManifestError) as caught:
            load_manifest(world.manifest)
        assert "unknown key; credentials are of the store's own configuration, and never in a manifest" in str(
            caught.value
        )


class TestHomes:
    """A home in a store is read, like a mirror; what is made of its files is in the folder without it."""

    @pytest.fixture
    def in_store(self, world: World, stored: Callable[[str, bytes], None]) -> Path:
        """A manifest whose downloads are in memory://course/home, and nowhere else."""
        home = world.manifest.parent / "home"
        for path in [path for path in home.rglob("*") if path.is_file()]:
            stored("/course/home/" + path.relative_to(home).as_posix(), path.read_bytes())
            path.unlink()
        return world.manifest

    def test_files_are_fetched_from_it(self, in_store: Path) -> None:
        """Into the folder that the manifest has for downloads, where they are mapped; nothing is asked of a network."""
        data = get("digits", manifest=in_store, home="memory://course/home", offline=True)

        assert all(map(len, data.values()))
        assert any((in_store.parent / "home").rglob("*.npy"))

    def test_by_the_variable(self, in_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the list of homes, of which the first on this computer takes the downloads."""
        monkeypatch.setenv(settings.HOME, f"memory://course/home{os.pathsep}{tmp_path / 'mine'}")
        get("digits", manifest=in_store, offline=True)

        assert any((tmp_path / "mine").rglob("*.npy"))

    def test_a_warm_get_does_not_import_fsspec(self, in_store: Path) -> None:
        """What is on this computer needs no store."""
        get("digits", manifest=in_store, home="memory://course/home", offline=True)
        code = (
            "import sys; from tinytorch_datasets import get\n"
            f"get('digits', manifest={str(in_store)!r}, home='memory://course/home', offline=True)\n"
            "print('fsspec' in sys.modules)"
        )

        assert fresh_process.python("-c", code).stdout.strip() == "False"

    def test_only_get_reads_it(self, in_store: Path) -> None:
        """What writes into a home needs a folder."""
        with pytest.raises(UsageError) as caught:
            settings.absolute("s3://ada:secret@bucket/home", name="home")
        assert str(caught.value) == (
            "home is an address of s3://, where a path is needed\n"
            "  Only `get` reads a home in a store, as text, and `mirror` writes to one; download a file first."
        )
        with pytest.raises(UsageError) as caught:
            settings.absolute("https://example.org/datasets.yaml", name="manifest")
        assert str(caught.value) == (
            "manifest is an address of https://, where a path is needed\n"
            "  Only `get` reads a home in a store, as text, and `mirror` writes to one; download a file first."
        )

    @pytest.mark.parametrize("home", ["s3://ada:secret@bucket/home", "/srv:GS://ada@bucket", "hf:/ada:secret@datasets"])
    def test_a_key_in_the_variable(self, home: str, in_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its colon stands between two homes, too: no folder is made by the name of a password, and none is shown."""
        monkeypatch.setenv(settings.HOME, home)
        with pytest.raises(UsageError) as caught:
            get("digits", manifest=in_store)

        assert str(caught.value) == (
            "TINYTORCH_DATASETS_HOME has credentials in it, which are of its store's configuration\n"
            "  Leave them out, and configure the library of that store."
        )

    def test_a_folder_of_another_computer(self, in_store: Path) -> None:
        """No folder is made by its name."""
        with pytest.raises(UsageError) as caught:
            get("digits", manifest=in_store, home="file://srv/datasets")
        assert str(caught.value) == "home is on another computer, srv; file:/// has three slashes"

        assert settings.absolute("file://localhost/srv/my%20data") == "/srv/my data"

    def test_a_path_that_was_an_address(self, in_store: Path) -> None:
        """A Path has lost one of its slashes; no folder is made of its name."""
        with pytest.raises(UsageError) as caught:
            get("digits", manifest=in_store, home=Path("memory://course/home"))
        assert caught.value.what == "home is an address of memory://, where a path is needed"

    def test_config_lists_it(self, in_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beside the folder that takes the downloads."""
        monkeypatch.setenv(settings.HOME, "memory://course/home")
        facts = in_force(load_manifest(in_store), None, is_found=False)

        shown = [(fact["name"], fact["value"]) for fact in facts if fact["name"] in ("downloads", "read only")]
        assert shown == [("downloads", str(in_store.parent / "home")), ("read only", "memory://course/home")]

    def test_a_list_of_homes_has_addresses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A colon of an address separates nothing; file:// is a folder."""
        listed = ["/srv/a", "s3://bucket/home", "file:///srv/b", "memory://course", "/srv/c"]
        monkeypatch.setenv(settings.HOME, os.pathsep.join(listed))
        chosen = settings.Settings.from_environment()

        assert chosen.homes == ("/srv/a", "/srv/b", "/srv/c")
        assert chosen.stores == ("s3://bucket/home", "memory://course")


def test_the_note_of_a_part_has_no_secret(place: Place, hub: type[Hub]) -> None:
    """What stands beside a part is read by whoever finds it."""
    hub.acts = [bytes, failing(PermissionError())]
    place.reasons(declared_file(f"{HF}/x.bin"))

    assert json.loads((place.into / f"{NAME}.part.json").read_text()) == {"url": f"{HF}/x.bin", "validator": "1"}
