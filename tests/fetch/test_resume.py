"""What came is kept, and goes on: later, elsewhere, and never at a good mirror's cost."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.audit_world import build
from tests.helpers.faulty_server import Act, FaultyServer, answer, serve, sha256
from tinytorch_datasets import pipeline
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch import RetryPolicy, fetch, leftovers
from tinytorch_datasets.pipeline import cleaning, manifests
from tinytorch_datasets.plan import File

HASTE = RetryPolicy(read_timeout_s=0.4, backoff_first_s=0.01, backoff_limit_s=0.05, poll_s=0.01)
MIB = 1024 * 1024
DATA = random.Random(5).randbytes(6 * MIB + 123)
LINES = b"".join(b"%d,%d\r\n" % (n, n * n) for n in range(30_000))
PORTAL = b"<!DOCTYPE html><html><head><title>Campus Wi-Fi</title></head>" + b"<p>Please log in.</p>" * 500


def declared_file(*urls: str, data: bytes = DATA, name: str = "points.bin") -> File:
    """What a manifest would declare."""
    return File(name=name, bytes=len(data), sha256=sha256(data), urls=urls, where="datasets.yaml:7")


class Place:
    """A downloads folder with one data set in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.into = root, root / "downloads" / "points"
        self.result: list[int] = []  # the bytes done

    def fetch(self, *files: File, mirror: str | None = None) -> list[File]:
        """Fetch, hastily."""
        fetched = fetch(
            files,
            self.into,
            folder="points",
            mirror=mirror,
            locks=self.root / "downloads" / ".cache" / "locks",
            progress=lambda file, done, in_all: self.result.append(done),
            dataset="points",
            reuse_from=(),
            retry=HASTE,
        )
        return [one.file for one in fetched]

    def names(self) -> list[str]:
        """What is in the folder."""
        return sorted(path.name for path in self.into.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty downloads folder."""
    return Place(tmp_path)


class TestCuts:
    """However often a download is cut, no more than 1 MiB a cut is sent twice."""

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.slow
    def test_twenty_cuts_at_random_places(self, seed: int, server: FaultyServer, place: Place) -> None:
        """In one call: the same mirror, cut twenty times in a row."""
        rng = random.Random(seed)
        cuts = [serve(DATA, cut_after=rng.randrange(1, len(DATA) // 21)) for _ in range(20)]

        place.fetch(declared_file(server.at("/f", *cuts, serve(DATA))))

        assert (place.into / "points.bin").read_bytes() == DATA
        assert len(server.log) == 21
        assert server.sent("/f") == len(DATA)  # 20 MiB more would be allowed; in truth nothing is sent twice

    def test_twenty_resets_at_random_places(self, server: FaultyServer, place: Place) -> None:
        """A reset may throw away what was on its way, so here something is sent twice; but less than 1 MiB a cut."""
        rng = random.Random(9)
        cuts = [serve(DATA, cut_after=rng.randrange(1, len(DATA) // 21), end="reset") for _ in range(20)]

        place.fetch(declared_file(server.at("/f", *cuts, serve(DATA))))

        assert (place.into / "points.bin").read_bytes() == DATA
        assert server.sent("/f") <= len(DATA) + 20 * MIB

    def test_cut_on_one_mirror_and_finished_on_another(self, server: FaultyServer, place: Place) -> None:
        """The two together send the file's size, and at most 1 MiB more."""
        one = server.at("/one", serve(DATA, cut_after=4 * MIB), answer(404))
        two = server.at("/two", serve(DATA))

        place.fetch(declared_file(one, two))

        assert (place.into / "points.bin").read_bytes() == DATA
        assert [request.range for request in server.requests("/two")] == [f"bytes={4 * MIB}-"]
        assert server.sent("/one") + server.sent("/two") <= len(DATA) + MIB

    def test_cut_today_and_finished_tomorrow(self, server: FaultyServer, place: Place) -> None:
        """A part survives the call that left it, and the bytes that were here are counted as done."""
        gone = server.at("/gone", serve(DATA, cut_after=4 * MIB), answer(404))
        with pytest.raises(FetchError):
            place.fetch(declared_file(gone))
        assert place.names() == ["points.bin.part", "points.bin.part.json"]
        del place.result[:]

        place.fetch(declared_file(server.at("/back", serve(DATA))))

        assert place.result[0] == 4 * MIB
        assert server.sent("/back") == len(DATA) - 4 * MIB
        assert place.names() == ["points.bin"]

    def test_a_complete_part_is_never_asked_for_again(self, place: Place) -> None:
        """All bytes are here: no request is made, only the hash and the move."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(DATA)
        file = declared_file("http://127.0.0.1:9/never-asked")

        assert place.fetch(file) == [file]
        assert place.names() == ["points.bin"]

    def test_a_folder_finishes_what_the_network_began(self, server: FaultyServer, place: Place) -> None:
        """A USB stick goes on from the part as any mirror does."""
        with pytest.raises(FetchError):
            place.fetch(declared_file(server.at("/gone", serve(DATA, cut_after=4 * MIB), answer(404))))
        stick = place.root / "stick"
        (stick / "points").mkdir(parents=True)
        (stick / "points" / "points.bin").write_bytes(DATA)
        del place.result[:]

        place.fetch(declared_file(), mirror=str(stick))

        assert place.result[0] == 4 * MIB
        assert (place.into / "points.bin").read_bytes() == DATA


class TestIfRange:
    """The rest is asked for on condition that the file is still the same, where the mirror can tell."""

    def test_the_same_mirror_is_asked_with_its_own_tag(self, server: FaultyServer, place: Place) -> None:
        """Within one call, and from one process to the next, by the note beside the part."""
        url = server.at(
            "/f", serve(DATA, etag='"v1"', cut_after=MIB), serve(DATA, etag='"v1"', cut_after=MIB), answer(404)
        )
        with pytest.raises(FetchError):
            place.fetch(declared_file(url))
        assert json.loads((place.into / "points.bin.part.json").read_text()) == {"url": url, "validator": '"v1"'}
        server.at("/f", serve(DATA, etag='"v1"'))

        place.fetch(declared_file(url))

        asked = [(request.range, request.headers.get("If-Range")) for request in server.log]
        assert asked[1:2] + asked[3:] == [(f"bytes={MIB}-", '"v1"'), (f"bytes={2 * MIB}-", '"v1"')]

    def test_another_mirror_is_asked_without_it(self, server: FaultyServer, place: Place) -> None:
        """A tag means nothing elsewhere; the sha256 does."""
        one = server.at("/one", serve(DATA, etag='"v1"', cut_after=MIB), answer(404))
        two = server.at("/two", serve(DATA, etag='"other"'))

        place.fetch(declared_file(one, two))

        assert [request.headers.get("If-Range") for request in server.requests("/two")] == [None]
        assert server.sent("/two") == len(DATA) - MIB

    def test_weak_tags_are_not_used(self, server: FaultyServer, place: Place) -> None:
        """If-Range takes strong validators only (RFC 9110, 13.1.5)."""
        url = server.at("/f", serve(DATA, headers={"ETag": 'W/"v1"'}, cut_after=MIB), serve(DATA))

        place.fetch(declared_file(url))

        assert [request.headers.get("If-Range") for request in server.log] == [None, None]

    def test_a_torn_note_is_no_note(self, server: FaultyServer, place: Place) -> None:
        """A note that a kill left half written costs nothing but the condition."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(DATA[:MIB])
        (place.into / "points.bin.part.json").write_text('{"url": "htt')

        place.fetch(declared_file(server.at("/f", serve(DATA))))

        assert server.log[0].range == f"bytes={MIB}-"
        assert place.names() == ["points.bin"]

    @pytest.mark.parametrize(
        "validator", [5, 1.5, ["v1"], {"v": 1}, "v1\r\nX: 1", "v1\n", "\u20ac", "\0", "v" * 70_000]
    )
    def test_a_validator_that_no_server_says(self, validator: object, server: FaultyServer, place: Place) -> None:
        """As whoever may write there can note it; the mirror is asked without it, and not given up."""
        url = server.at("/f", serve(DATA))
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(DATA[:MIB])
        (place.into / "points.bin.part.json").write_text(json.dumps({"url": url, "validator": validator}))

        place.fetch(declared_file(url))

        assert [(request.range, request.headers.get("If-Range")) for request in server.log] == [(f"bytes={MIB}-", None)]
        assert place.names() == ["points.bin"]

    def test_a_long_tag_of_a_server(self, server: FaultyServer, place: Place) -> None:
        """It may be longer than the same server takes it back."""
        url = server.at("/f", serve(DATA, etag=f'"{"v" * 60_000}"', cut_after=MIB), serve(DATA))

        place.fetch(declared_file(url))

        assert [request.headers.get("If-Range") for request in server.log] == [None, None]


class TestBlame:
    """A good mirror is never blamed for what was here before it was asked."""

    def test_a_login_page_cut_short_goes_before_the_data(self, server: FaultyServer, place: Place) -> None:
        """It is recognized by its first bytes and never written, so the good mirror is asked once, for the whole."""
        data = gzip.compress(DATA, compresslevel=1, mtime=0)
        portal = server.at("/portal", serve(PORTAL, length=len(data), cut_after=5000))
        good = server.at("/good", serve(data))

        place.fetch(declared_file(portal, good, data=data, name="points.gz"))

        assert [(request.path, request.range) for request in server.log] == [("/portal", None), ("/good", None)]

    def test_a_login_page_among_texts_costs_one_clean_start(self, server: FaultyServer, place: Place) -> None:
        """A .csv may begin like a page, so here the page is in the part; the good mirror's bytes then fail with it."""
        portal = server.at("/portal", serve(PORTAL, length=len(LINES), cut_after=5000), answer(511))
        good = server.at("/good", serve(LINES))

        place.fetch(declared_file(portal, good, data=LINES, name="points.csv"))

        assert (place.into / "points.csv").read_bytes() == LINES
        assert [request.range for request in server.requests("/good")] == ["bytes=5000-", None]

    def test_a_bad_part_of_another_day_costs_one_clean_start(self, server: FaultyServer, place: Place) -> None:
        """Nobody knows who gave it."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(b"x" * MIB)

        place.fetch(declared_file(server.at("/f", serve(DATA))))

        assert [request.range for request in server.log] == [f"bytes={MIB}-", None]
        assert (place.into / "points.bin").read_bytes() == DATA

    def test_a_clean_start_may_be_cut_too(self, server: FaultyServer, place: Place) -> None:
        """What comes after the clean start is the mirror's own, and goes on as ever."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(b"x" * MIB)

        place.fetch(declared_file(server.at("/f", serve(DATA), serve(DATA, cut_after=2 * MIB), serve(DATA))))

        assert [request.range for request in server.log] == [f"bytes={MIB}-", None, f"bytes={2 * MIB}-"]

    def test_a_bad_mirror_has_one_clean_start_and_no_more(self, server: FaultyServer, place: Place) -> None:
        """Its own whole file fails: now it is to blame, and nothing of it is kept."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(DATA[:MIB])
        wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
        url = server.at("/f", serve(wrong))

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url))

        assert caught.value.tried == ((url, "sends other bytes than the declared ones"),)
        assert [request.range for request in server.log] == [f"bytes={MIB}-", None]
        assert place.names() == []

    def test_a_refusal_costs_no_byte_that_is_here(self, server: FaultyServer, place: Place) -> None:
        """A page, an error, a file of another size: seen before anything is dropped."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(DATA[:MIB])
        refusals = [serve(PORTAL), serve(PORTAL, length=None), serve(DATA + b"more", ranges=False), answer(500)]
        urls = [server.at(f"/{n}", act) for n, act in enumerate(refusals)]

        with pytest.raises(FetchError):
            place.fetch(declared_file(*urls))

        assert (place.into / "points.bin.part").read_bytes() == DATA[:MIB]

    @pytest.mark.parametrize(
        "nothing",
        [
            serve(b"", length=None),
            serve(b"", chunked=True),
            serve(DATA, ranges=False, cut_after=0, end="reset"),
            serve(b"no gzip", headers={"Content-Encoding": "gzip"}),
        ],
        ids=["no length", "chunked", "reset", "no gzip"],
    )
    def test_an_answer_without_a_byte_costs_none_that_is_here(
        self, nothing: Act, server: FaultyServer, place: Place
    ) -> None:
        """It answers 200 to a request for the rest, and nothing follows: the next mirror goes on from the part."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(DATA[:-1000])

        place.fetch(declared_file(server.at("/nothing", nothing), server.at("/good", serve(DATA))))

        assert (place.into / "points.bin").read_bytes() == DATA
        assert server.sent("/good") == 1000

    def test_a_part_that_is_too_long_is_dropped(self, server: FaultyServer, place: Place) -> None:
        """It can never become right."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").write_bytes(DATA + b"more")

        place.fetch(declared_file(server.at("/f", serve(DATA))))

        assert [request.range for request in server.log] == [None]

    def test_converted_line_endings_are_named(self, server: FaultyServer, place: Place) -> None:
        """Git and FTP do this to text."""
        unix = LINES.replace(b"\r\n", b"\n")
        one, two = server.at("/crlf", serve(LINES)), server.at("/lf", serve(unix))

        with pytest.raises(FetchError) as to_unix:
            place.fetch(declared_file(two, data=LINES, name="points.csv"))
        with pytest.raises(FetchError) as to_dos:
            place.fetch(declared_file(one, data=unix, name="points.csv"))

        assert to_dos.value.tried[0][1] == (
            f"has a file of {len(LINES):,} bytes, not {len(unix):,}: "
            "text whose line endings were converted to CR LF (by git, or by FTP in text mode?)"
        )
        assert to_unix.value.tried[0][1] == (
            f"has a file of {len(unix):,} bytes, not {len(LINES):,}: "
            "a shorter text: truncated, or its line endings were converted from CR LF to LF"
        )


class TestSources:
    """The given mirror comes first, then the declared addresses in their order."""

    def test_the_order(self, server: FaultyServer, place: Place) -> None:
        """The mirror in its layout, the mirror as a bare folder, one, two; each asked once when it says no."""
        urls = [server.at("/one", answer(404)), server.at("/two", serve(DATA))]
        server.at("/mirror/points/points.bin", answer(404))
        server.at("/mirror/points.bin", answer(404))

        place.fetch(declared_file(*urls), mirror=server.url + "/mirror/")

        assert [request.path for request in server.log] == [
            "/mirror/points/points.bin",
            "/mirror/points.bin",
            "/one",
            "/two",
        ]

    def test_a_mirror_may_be_the_data_sets_own_folder(self, server: FaultyServer, place: Place) -> None:
        """People serve, or copy, the one folder that they need."""
        server.at("/points/points.bin", answer(404))
        server.at("/points.bin", serve(DATA))

        place.fetch(declared_file(), mirror=server.url)

        assert (place.into / "points.bin").read_bytes() == DATA

    def test_names_with_folders_and_spaces(self, server: FaultyServer, place: Place) -> None:
        """The place below the mirror is the place below the downloads."""
        server.at("/points/splits/a%20b.bin", serve(DATA))

        place.fetch(declared_file(name="splits/a b.bin"), mirror=server.url)

        assert (place.into / "splits" / "a b.bin").read_bytes() == DATA

    @pytest.mark.parametrize("as_url", [False, True])
    @pytest.mark.parametrize("name", ["points.bin", "a b.bin", "a%20b.bin", "50% of #1.bin"])
    def test_a_folder_is_a_mirror(self, as_url: bool, name: str, server: FaultyServer, place: Place) -> None:
        """By its path or as file://, whatever is in its name or the file's; the network is not asked."""
        stick = place.root / "a 100%25 stick"
        (stick / "points").mkdir(parents=True)
        (stick / "points" / name).write_bytes(DATA)

        file = declared_file(server.at("/f", serve(DATA)), name=name)
        place.fetch(file, mirror=stick.as_uri() if as_url else str(stick))

        assert (place.into / name).read_bytes() == DATA
        assert server.log == []

    @pytest.mark.parametrize("mirror", ["/nope", "foo", "https:/x/y", "~nobody-of-this-name", "file:///nope"])
    def test_no_folder(self, mirror: str, server: FaultyServer, place: Place) -> None:
        """It is reported once, as what it is, and how it can be corrected; whatever was meant, it was misspelt."""
        url = server.at("/f", answer(404))
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url), mirror=mirror)

        assert str(caught.value) == (
            "points.bin could not be downloaded from any of 2 mirrors:\n"
            f"  {mirror.removeprefix('file://')}: there is no such folder\n"
            f"  {url}: 404 Not Found\n"
            "  declared at datasets.yaml:7\n"
            "  Name a folder that is there as the mirror, or an address with http:// or https://, and run "
            "`tinytorch-datasets get points` again. "
            f"Or put the file itself at {place.into / 'points.bin'}, from wherever you can get it."
        )

    def test_a_file_is_no_folder(self, place: Place) -> None:
        """The file itself cannot be named as the mirror."""
        path = place.into.parent.parent / "points.bin"
        path.write_bytes(DATA)
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(), mirror=str(path))

        assert caught.value.tried == ((str(path), "there is no such folder"),)

    @pytest.mark.parametrize(
        ("mirror", "is_host"),
        [("192.168.1.5:8000", True), ("laptop.local:8000/class", True), ("localhost:8000", True), ("localhost", True),
         ("usb", False), ("laptop.local", False), ("C:8000", False), ("usb/a.b:80", False)],
    )  # fmt: skip
    def test_an_address_without_its_scheme(
        self, place: Place, mirror: str, is_host: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What begins as a host and its port does is a path too, and the reason says what an address begins with."""
        monkeypatch.chdir(place.into.parent.parent)
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(), mirror=mirror)

        ((_, reason),) = caught.value.tried
        assert reason == "there is no such folder" + ("; an address begins with http://" if is_host else "")

    def test_an_address_of_another_scheme(self, place: Place) -> None:
        """It will be no mirror later either."""
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(), mirror="htp://laptop:8000")

        assert str(caught.value) == (
            "points.bin could not be downloaded from any of 2 mirrors:\n"
            "  htp://laptop:8000/points/points.bin: this is neither http, nor https, nor a folder\n"
            "  htp://laptop:8000/points.bin: this is neither http, nor https, nor a folder\n"
            "  declared at datasets.yaml:7\n"
            "  Name a folder that is there as the mirror, or an address with http:// or https://, and run "
            f"`tinytorch-datasets get points` again. Or put the file itself at {place.into / 'points.bin'}, "
            "from wherever you can get it."
        )

    def test_no_folder_and_no_network(self, place: Place) -> None:
        """Either can be corrected."""
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file("http://mirror.invalid/f"), mirror="/nope")

        assert str(caught.value) == (
            "points.bin could not be downloaded from any of 2 mirrors:\n"
            "  /nope: there is no such folder\n"
            "  http://mirror.invalid/f: its host name cannot be found (is there a network?)\n"
            "  declared at datasets.yaml:7\n"
            "  Connect to a network, or name another folder as the mirror, and run `tinytorch-datasets get points` "
            "again. `tinytorch-datasets doctor` says what is in the way."
        )

    def test_no_folder_keeps_nobody_from_the_other_mirrors(self, server: FaultyServer, place: Place) -> None:
        """A stick that is not plugged in."""
        assert place.fetch(declared_file(server.at("/f", serve(DATA))), mirror="/nope")

    def test_an_empty_mirror_is_none(self, server: FaultyServer, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """As an empty variable is; not the current folder."""
        (place.root / "points.bin").write_bytes(bytes(len(DATA)))
        monkeypatch.chdir(place.root)
        url = server.at("/f", answer(404))
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url), mirror="")

        assert caught.value.tried == ((url, "404 Not Found"),)

    def test_a_folder_without_the_file(self, place: Place) -> None:
        """Reported like any mirror that failed, with both places where it was looked for."""
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(), mirror=str(place.root))

        assert caught.value.tried == (
            (str(place.root / "points" / "points.bin"), "there is no such file"),
            (str(place.root / "points.bin"), "there is no such file"),
        )

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
    def test_a_folder_with_no_file_in_its_place(self, make: Callable[[Path], None], place: Place) -> None:
        """A folder, or a pipe, at which reading would wait for ever."""
        (place.root / "points").mkdir()
        make(place.root / "points" / "points.bin")

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(), mirror=str(place.root))

        assert caught.value.tried[0] == (str(place.root / "points" / "points.bin"), "what is there is no file")

    def test_a_folder_with_another_file(self, place: Place) -> None:
        """A pointer copied in place of the file is a well-known gift of Git LFS."""
        (place.root / "points").mkdir()
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 6291579\n"
        (place.root / "points" / "points.bin").write_bytes(pointer)

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(), mirror=str(place.root))

        assert caught.value.tried[0][1] == (
            "a Git LFS pointer to a file of 6,291,579 bytes (run `git lfs pull` where it was copied from) came instead"
        )


class TestLeftovers:
    """What interrupted fetches leave beside a file is known, so that it can be removed."""

    def test_all_of_it_is_named(self, server: FaultyServer, place: Place) -> None:
        """The part and its note, and the part of a process that had no lock; no other file's."""
        with pytest.raises(FetchError):
            place.fetch(declared_file(server.at("/gone", serve(DATA, cut_after=4 * MIB), answer(404))))
        (place.into / "points.bin.lab-7-123.part").touch()
        (place.into / "other.bin.part").touch()

        assert sorted(path.name for path in leftovers(place.into / "points.bin")) == [
            "points.bin.lab-7-123.part",
            "points.bin.part",
            "points.bin.part.json",
        ]

    def test_clean_removes_it(self, tmp_path: Path) -> None:
        """The folder is as empty as before the first fetch, and the bytes freed are counted."""
        world = build(tmp_path)
        loaded = manifests.read(world.manifest)
        locations = pipeline.locations(loaded)
        plan = pipeline.plan_of(loaded, "digits", locations)
        cleaning.clean(plan, locations)
        (plan.root / "train-images.part").write_bytes(b"12345")
        (plan.root / "train-images.part.json").write_bytes(b"{}")

        assert cleaning.clean(plan, locations) == 7
        assert list(plan.root.iterdir()) == []
