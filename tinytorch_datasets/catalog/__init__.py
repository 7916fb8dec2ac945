"""The catalog: a static site of every data set, to look at in a browser.

The same manifest and the same files on disk give the same pages, byte for byte. A page is replaced when it is whole;
one of a data set that is gone is removed, and so is no file that this module did not write.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch_datasets import api, pipeline, settings
from tinytorch_datasets.catalog import elements, pages, start
from tinytorch_datasets.catalog.pages import START, View
from tinytorch_datasets.dataset import origin
from tinytorch_datasets.digests import open_file
from tinytorch_datasets.display.pictures import CHANNELS, as_picture
from tinytorch_datasets.display.samples import Samples, class_counts
from tinytorch_datasets.errors import DatasetError, UsageError, check_flag
from tinytorch_datasets.mirror.copy import sums_in
from tinytorch_datasets.mirror.serve import fetched_mark, packages_in
from tinytorch_datasets.pipeline.standin import refuse_standin
from tinytorch_datasets.storage.files import check_no_link, read_file, remove, whole_file, writing
from tinytorch_datasets.storage.memmap import is_link

if TYPE_CHECKING:
    from tinytorch_datasets.api import AnyPath, ManifestLike
    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.fetch import RetryPolicy
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.manifest.models import Entry, FieldEntry
    from tinytorch_datasets.plan import Plan
    from tinytorch_datasets.progress import Progress
    from tinytorch_datasets.split import Split

FOLDER = "catalog"  # below the folder that is given, where all but the start page is
BESIDE = tuple(f"{FOLDER}/{name}" for name in (elements.STYLE, elements.SCRIPT))
BEGINNING_BYTES = 600  # of a file, in which it says that it is of a catalog
BEGINNING_OF_TEXT = 4 * pages.WHOLE_TEXT_SHOWN + 4  # bytes, of at most four a character
PIXELS_LOOKED_AT = 512  # of a large picture, on either side, at least
MOST_PICTURES = 40
MOST_LARGE_PICTURES = 20
MOST_OTHERS = 10
UNREADABLE = (
    "Its files are on disk, and could not be read when this page was made: `tinytorch-datasets audit {}` says why."
)


@dataclass(frozen=True)
class Catalog:
    """What `write_catalog` wrote.

    Attributes:
        start: The start page.
        pages: The path of each data set's page, by its name.
        with_samples: The names of those of which samples are shown.
        removed: Paths of pages that were removed, because their data sets are gone.
        errors: Why others could not be read or fetched, though they are on disk or were to be downloaded.
    """

    start: Path
    pages: dict[str, Path]
    with_samples: tuple[str, ...]
    removed: tuple[Path, ...]
    errors: tuple[DatasetError, ...] = field(repr=False)


def write_catalog(
    folder: AnyPath,
    *,
    download: bool = False,
    manifest: ManifestLike = None,
    home: AnyPath | None = None,
    mirror: AnyPath | None = None,
    progress: Progress | None = None,
    retry: RetryPolicy | None = None,
) -> Catalog:
    """Write a static site of all data sets: a start page ``index.html`` with search, and a page of each.

    A page has samples, classes, splits, checks, license, citation, hashes, and the lines to type. Samples are of what
    is on disk; no page asks for anything from anywhere.

    Args:
        folder: Where to; what is in there from elsewhere stays, and is never replaced.
        download: Whether to get what is not on disk, so that its samples are shown too; not of included manifests.
        manifest: As in `get`; so are `home`, `mirror`, `progress` and `retry`.

    Raises:
        UsageError: A file is in the way that no catalog wrote, or a variable asks for stand-in data.
        ManifestError: The manifest is wrong.
        StorageError: The folder cannot be written to.

    >>> import tempfile
    >>> catalog = write_catalog(tempfile.mkdtemp())
    >>> catalog.start.name, catalog.pages["mnist"].name
    ('index.html', 'mnist.html')
    """
    check_flag(download, "download")
    refuse_standin("a catalog")
    loaded = api.manifest_of(manifest)

    def opened(name: str) -> Dataset | None:
        plan, _ = pipeline.in_use(loaded, name, home)
        if not (download and plan.name in loaded.own) and not pipeline.is_on_disk(plan):
            return None
        return api.get(
            name,
            manifest=loaded,
            home=home,
            mirror=mirror,
            offline=None if download and plan.name in loaded.own else True,
            progress=progress,
            retry=retry,
            standin=False,
        )

    return _write(Path(settings.absolute(folder, name="folder")), loaded, list(loaded.datasets), opened)


def write_start_page(folder: Path, manifest: Manifest, home: AnyPath | None = None) -> Catalog:
    """Write the pages of the data sets that are in a mirror folder, beside its files.

    Raises:
        UsageError: A file is in the way that no catalog wrote.
        StorageError: The folder cannot be written to.
    """
    folder = Path(settings.absolute(folder, name="folder"))

    def opened(name: str) -> Dataset:
        return api.get(name, manifest=manifest, home=home, mirror=folder, offline=True, standin=False)

    return _write(folder, manifest, list(mirrored(folder, manifest)), opened, address="")


def mirrored(folder: Path, manifest: Manifest) -> dict[str, frozenset[str]]:
    """Return the data sets that are in a mirror folder, each with the paths of the files of its container there."""
    there = frozenset(sums_in(folder))
    datasets = {}
    for name, entry in manifest.datasets.items():
        for container in (entry.files, *(variant.files for variant in entry.variants.values())):
            files = frozenset(f"{entry.folder or name}/{file}" for file in container)
            if files <= there:
                datasets[name] = files
                break
    return datasets


def served_start_page(folder: Path, names: Iterable[str], address: str) -> str | None:
    """Return the start page of a mirror folder with the lines for its address in the network; None without one.

    It has a mark in each card, which the server replaces with how many computers have fetched the data set.
    """
    if not is_page(folder, START):
        return None
    packages = packages_in(folder)
    page = read_file(folder / START).decode()
    page = page.replace(start.mirror_lines("", packages), start.mirror_lines(address, packages))
    for name in names:
        shown = start.name_line(name)
        page = page.replace(shown, f'{shown}\n<p class="fetched">{fetched_mark(name)}</p>')
    return page


def pages_in(folder: Path) -> Iterator[str]:
    """Yield the paths of a catalog's own files in a folder, with forward slashes."""
    names = []
    with suppress(OSError):  # there is none, or it may not be looked into
        names = sorted(path.name for path in (folder / FOLDER).iterdir())
    return (name for name in (START, *(f"{FOLDER}/{each}" for each in names)) if is_page(folder, name))


def is_page(folder: Path, name: str) -> bool:
    """Check whether a file is one that a catalog wrote by that name: it says so in its beginning."""
    path = folder / name
    try:
        if is_link(path) or not path.is_file():
            return False
        with open(path, "rb", opener=open_file) as stream:
            beginning = stream.read(BEGINNING_BYTES)
    except OSError:
        return False  # it cannot be read, and so nobody knows
    return any(f"{elements.mark(name)}{end}".encode() in beginning for end in ('">', " */"))


def _write(
    folder: Path,
    manifest: Manifest,
    names: Sequence[str],
    opened: Callable[[str], Dataset | None],
    *,
    address: str | None = None,
) -> Catalog:
    wanted = {name: pages.page_of(name) for name in names}
    for path in (START, *BESIDE, *wanted.values()):
        with writing(folder / path):
            _refuse_others(folder, path)
    for path in BESIDE:
        _write_file(folder / path, (Path(__file__).parent / posixpath.basename(path)).read_bytes())
    cards, with_samples, errors = [], [], []
    for name, path in wanted.items():
        view, error = _view(manifest, name, opened)
        if error is not None:
            errors.append(error)
        elif view.is_shown:
            with_samples.append(name)
        _write_file(folder / path, pages.dataset_page(view).encode())
        cards.append(start.card(view))
    packages = packages_in(folder) if address is not None else None
    declared_in = manifest.path.name
    first_page = start.start_page("Data sets", cards, declared_in=declared_in, address=address, packages=packages)
    _write_file(folder / START, first_page.encode())
    removed = []
    for path in pages_in(folder):
        if path not in {START, *BESIDE, *wanted.values()}:
            remove(folder / path)
            removed.append(folder / path)
    return Catalog(
        folder / START,
        {name: folder / path for name, path in wanted.items()},
        tuple(with_samples),
        tuple(removed),
        tuple(errors),
    )


def _refuse_others(folder: Path, name: str) -> None:
    check_no_link(folder / name, below=folder)
    if (folder / name).exists() and not is_page(folder, name):
        what = f"{folder / name} is in the way: no catalog wrote it"
        raise UsageError(what, hint="Name another folder, or move it away.")


def _write_file(path: Path, data: bytes) -> None:
    """Write a file, unless it is there already just so."""
    with writing(path):
        if path.is_file() and read_file(path) == data:
            return
    with whole_file(path) as out:
        out.write(data)


def _view(manifest: Manifest, name: str, opened: Callable[[str], Dataset | None]) -> tuple[View, DatasetError | None]:
    """Return what the page of a data set shows, and why its samples could not be read, if that is so."""
    entry, owner = manifest.entry(name), manifest.owner(name)
    packaged = settings.packaged_manifest()  # with all that it includes
    is_packaged = any(str(layer.path) == packaged and name in layer.datasets for layer in manifest.layers)
    view = View(
        name,
        entry,
        kind_of(owner.plan(name), entry),
        "" if is_packaged else manifest.path.name,
        origin(name, entry.files, owner.path, owner.sha256),
    )
    try:
        dataset = opened(name)
        return (view if dataset is None else _with_samples(view, dataset)), None
    except DatasetError as error:
        return replace(view, problem=UNREADABLE.format(name)), error  # whose text may have paths of this computer


def kind_of(plan: Plan, entry: Entry) -> str:
    """Return of which kind a data set is, by its declaration: pictures, sound, text, a table, or arrays."""
    its = {name: declared for name, declared in entry.fields.items() if declared.per == "sample"}
    columns = plan.splits[0].columns
    if any(plan.frame_rate(columns[name]) is not None for name in its if name in columns):
        return "sound"
    if any(map(_is_picture, its.values())):
        return "pictures"
    if not its or next(iter(its.values())).dtype == "str":
        return "text"
    return "table" if all(len(declared.shape) <= 1 for declared in its.values()) else "arrays"


def _is_picture(declared: FieldEntry) -> bool:
    if declared.names or declared.classes or declared.dtype == "str":
        return False
    sample = np.broadcast_to(np.zeros((), declared.dtype), [size or elements.EXACT_SIDE for size in declared.shape])
    return as_picture(sample, declared.model_dump()) is not None


def _with_samples(view: View, dataset: Dataset) -> View:
    split = next(iter(dataset.values()))
    texts = {name: _beginning(whole) for name, whole in split._texts.items()}
    counts = {name: counted for name, of in dataset.items() if (counted := class_counts(of))}
    samples = None
    if split.fields:
        part = split[_places(view, split)]
        shown = [tuple(map(_thinned, sample)) if view.kind == "pictures" else sample for sample in part]
        samples = Samples(split.name, split.fields, shown, part.positions, split._declared)
    return replace(view, samples=samples, split=split.name, counts=counts, texts=texts)


def _beginning(whole: np.ndarray | str) -> str:
    """Return more of a text than a page shows, without decoding the rest: it may be all books of a library."""
    return whole if isinstance(whole, str) else bytes(whole[:BEGINNING_OF_TEXT]).decode(errors="ignore")


def _thinned(value: Any) -> Any:
    """Return a large picture with fewer of its pixels: several times as many as a page shows, and as fit into memory.

    >>> _thinned(np.zeros((3000, 2000, 3))).shape
    (600, 400, 3)
    """
    if not isinstance(value, np.ndarray) or max(value.shape, default=0) < 2 * PIXELS_LOOKED_AT:
        return value
    step = max(value.shape) // PIXELS_LOOKED_AT  # the same for both sides, and none for channels
    return value[tuple(slice(None, None, 1 if size in CHANNELS else step) for size in value.shape)].copy()


def _places(view: View, split: Split) -> list[int]:
    """Return which samples are shown: the first of each class, class by class, or some from first to last."""
    most = MOST_OTHERS
    if view.kind == "pictures":
        sides = [size or 0 for declared in view.entry.fields.values() for size in declared.shape[:2]]
        is_small = 0 not in sides and max(sides, default=0) <= elements.EXACT_SIDE
        most = MOST_PICTURES if is_small else MOST_LARGE_PICTURES
    for name, declared in view.entry.fields.items():
        labels = split[name] if name in split.fields else None
        if declared.classes and isinstance(labels, np.ndarray) and labels.ndim == 1:
            classes = np.unique(labels)
            if 2 <= len(classes) <= most:
                each = most // len(classes)
                return [int(at) for number in classes for at in np.flatnonzero(labels == number)[:each]]
            break
    return [int(at) for at in np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).astype(int))]
