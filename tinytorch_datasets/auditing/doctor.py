"""`doctor`: all that `get` needs of this computer and its network, checked.

What to run first when something does not work, and what to paste into a report: it changes nothing, and shows no
password, no key and no token. Whether the data itself is right is for `audit`.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import shutil
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch_datasets import api, formats, pipeline, settings
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.auditing import first_bytes
from tinytorch_datasets.auditing.findings import Check, Diagnosis, ExitCode, exit_code_of
from tinytorch_datasets.errors import DatasetError, MissingLibrary, UnknownName, UsageError, check_flag
from tinytorch_datasets.fetch import DEFAULT_RETRY, LIBRARIES, RetryPolicy, network_variables, unread_certificates
from tinytorch_datasets.manifest import kept
from tinytorch_datasets.manifest.filenames import without_secrets
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.pipeline import manifests
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.progress import readable
from tinytorch_datasets.settings import Locations, Settings
from tinytorch_datasets.storage import files as disk
from tinytorch_datasets.storage import lock, private_cache

if TYPE_CHECKING:
    from tinytorch_datasets.api import AnyPath, ManifestLike

TIME_LIMIT_S = 60.0
LONG_HELD_S = 10 * 60  # longer than any stage of a small data set takes
WRITTEN = b"tinytorch-datasets doctor\n" * 160  # a full disk takes an empty file, and no more

# Each extra of the package: the module that it brings, and the distribution that this is in.
EXTRAS = {
    "fast": ("isal", "isal"),
    "tables": ("pyarrow", "pyarrow"),
    "images": ("PIL", "pillow"),
    "hdf5": ("h5py", "h5py"),
    "audio": ("soundfile", "soundfile"),
    "cloud": ("fsspec", "fsspec"),
    "s3": ("s3fs", "s3fs"),
    "gs": ("gcsfs", "gcsfs"),
    "az": ("adlfs", "adlfs"),
    "hf": ("huggingface_hub", "huggingface_hub"),
}
WHY_KEPT = "the manifest as it was checked last, which `clean` removes"
WHY_REPORTS = "of audits of the manifest, which `clean` removes"
WHY = {
    "given": "by --manifest",
    "variable": f"by {settings.MANIFEST}",
    "found": "in this folder, or the nearest one above it that has one",
    "packaged": "came with the library: no other is given, and none found in this folder or above",
}


def doctor(
    names: Sequence[str] = (),
    *,
    manifest: ManifestLike = None,
    home: AnyPath | None = None,
    included: bool = False,
    offline: bool | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    progress: Callable[[int, int], None] | None = None,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> Diagnosis:
    """Check what a data set needs: versions, manifest, folders, locks, room, proxies, and each address.

    Nothing is changed: whether a folder can be written to is tried with a file that is removed again, and a folder
    that is missing is not made. The first 64 kB of each address are read, several addresses at once.

    Args:
        names: The data sets whose libraries, room and addresses are checked; none given means the manifest's own.
        manifest: Another manifest than the one in force: a path, or what `load_manifest` gave.
        home: The folder of downloads and decoded arrays, as for `get`.
        included: Whether the data sets of included manifests are checked, too.
        offline: Whether no address is asked; None asks ``TINYTORCH_DATASETS_OFFLINE``.
        time_limit_s: How long all addresses together may take, in seconds; those that are left are reported.
        progress: Called with the number of addresses that have answered, and of all, from several threads.
        retry: How long to wait for an address; it is asked once.

    Raises:
        UnknownName: The manifest has no data set of a given name.
        UsageError: `included` or `offline` is neither True nor False, or the time limit is no time.

    >>> doctor(["tinydigits"], offline=True).ok
    True
    """
    check_flag(included, "included")
    if offline is not None:
        check_flag(offline, "offline")
    if not time_limit_s > 0:
        msg = f"time_limit_s is more than 0, not {time_limit_s!r}"
        raise UsageError(msg)
    wanted = [names] if isinstance(names, str) else list(names)
    checks = []
    book, placed = None, list[tuple[Plan, Locations]]()
    with tempfile.TemporaryDirectory(prefix="tinytorch-datasets-", ignore_cleanup_errors=True) as aside:
        try:
            book = _manifest(manifest, offline=offline, aside=Path(aside))
            chosen = [book.name_of(name) for name in wanted] or list(book.datasets if included else book.own)
            checks += [_of_fact(fact) for fact in in_force(book, home, is_found=manifest is None)]
            placed = [pipeline.placed(book, name, home) for name in chosen]
        except UnknownName:
            raise
        except DatasetError as error:
            checks.append(_wrong("manifest", "manifest", error))
    versions = [*_versions(), *_extras([plan for plan, _ in placed])]
    homes = _homes(book, home)
    addresses = first_bytes.Addresses(retry, time_limit_s, progress)
    for group, checked in (
        ("folders", _folders(book, homes)),
        ("locks", _locks(homes)),
        ("room", _room(placed)),
        ("network", _network(offline)),
        ("addresses", addresses.checks([plan for plan, _ in placed], offline)),
    ):
        try:
            checks += checked
        except DatasetError as error:
            checks.append(_wrong(group, group, error))
    return Diagnosis((*versions, *checks))


def _wrong(group: str, name: str, error: DatasetError) -> Check:
    hint = "\n".join(filter(None, (error.where and f"declared at {error.where}", error.hint)))
    code = exit_code_of(error).value
    return Check(group=group, name=name, state="wrong", result=error.what, hint=hint or None, exit_code=code)


def _manifest(given: ManifestLike, *, offline: bool | None, aside: Path) -> Manifest:
    if given is None or isinstance(given, str | os.PathLike):
        return manifests.read(Path(settings.manifest_path(given)), offline=offline, aside=aside)
    return api.manifest_of(given)


def in_force(manifest: Manifest, home: AnyPath | None, *, is_found: bool) -> list[dict[str, Any]]:
    """Return what is in force, and why: the manifest, those it includes, its folders, the mirror, offline or not.

    `is_found` if nobody named the manifest, so that a variable or a folder did.
    """
    why = settings.chosen_manifest(None)[1] if is_found else "given"
    chosen = Settings.from_environment()
    facts = [{"name": "manifest", "value": str(manifest.path), "why": WHY[why]}]
    others = settings.files_above() if why in ("found", "packaged") else ()
    nearer = itertools.takewhile(lambda file: file[0] != str(manifest.path), others)
    facts += [{"name": "not taken", "value": other, "why": why_not} for other, why_not in nearer if why_not]
    facts += [{"name": "includes", "value": str(layer.path), "why": ""} for layer in manifest.layers[1:]]
    for layer in manifest.layers:
        if home is not None:
            why = "by --home"
        elif chosen.homes:
            why = f"by {settings.HOME}"
        elif settings.is_installed(str(layer.path.parent)):
            why = "the user's cache: nothing is written into an installed package"
        elif layer.download_to == settings.DOWNLOAD_TO:
            why = "beside the manifest, in the usual folder"
        else:
            why = f"by download_to of {layer.path}"
        where = pipeline.locations(layer, home)
        listed = {fact["value"] for fact in facts if fact["name"] == "downloads"}
        folders = (str(folder) for folder in where.homes)
        facts += [{"name": "downloads", "value": folder, "why": why} for folder in folders if folder not in listed]
        if home is not None or chosen.homes:
            break
    stores = chosen.stores if home is None else ()
    facts += [{"name": "read only", "value": without_secrets(home), "why": _by(settings.HOME)} for home in stores]
    facts += [
        {"name": "shipped", "value": str(folder), "why": f"by {layer.path}"}
        for layer, folder in _shipped_folders(manifest)
    ]
    mirror = without_secrets(chosen.mirror) if chosen.mirror else "none"
    facts.append({"name": "mirror", "value": mirror, "why": _by(settings.MIRROR)})
    facts.append({"name": "offline", "value": "yes" if chosen.offline else "no", "why": _by(settings.OFFLINE)})
    if kept.bytes_of(manifest.path):
        facts.append({"name": "kept form", "value": str(kept.kept_path(manifest.path)), "why": WHY_KEPT})
    if reports := private_cache.paths_of(private_cache.REPORTS, manifest.path):
        facts.append({"name": "kept reports", "value": str(Path(reports[0]).parent), "why": WHY_REPORTS})
    return facts


def _by(variable: str) -> str:
    return f"by {variable}" if os.environ.get(variable) else f"{variable} is not set"


def _shipped_folders(manifest: Manifest) -> Iterator[tuple[Manifest, Path]]:
    for layer in manifest.layers:
        if any(entry.status == "shipped" for entry in layer.own.values()):
            yield layer, layer.path.parent / layer.shipped_in


def _of_fact(fact: dict[str, Any]) -> Check:
    result = fact["value"] + (f" ({fact['why']})" if fact["why"] else "")
    return Check(group="manifest", name=fact["name"], state="ok", result=result, facts=fact)


def _versions() -> Iterator[Check]:
    free = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", free-threaded"
    for name, result in (
        ("tinytorch-datasets", f"{VERSION}, in {Path(__file__).parent.parent}"),
        ("Python", f"{platform.python_version()}, {platform.python_implementation()}{free}, {sys.executable}"),
        ("NumPy", np.__version__),
        ("platform", f"{platform.platform()}, {os.cpu_count()} cores"),
    ):
        yield Check(group="versions", name=name, state="ok", result=result)


def _extras(plans: Iterable[Plan]) -> Iterator[Check]:
    """Yield a check of each extra: its library's version, and what it enables; wrong where a data set needs it."""
    enabled, needing = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    enabled["fast"].append("faster gzip and zip")
    for scheme, library in LIBRARIES.items():
        enabled[library.extra].append(f"addresses with {scheme}://")
    for name in formats.known():
        form = formats.of(name)
        for extra in sorted({extra for _, extra in filter(None, (form.needs, *form.needs_by_ending.values()))}):
            partly = "" if form.needs else f" ({', '.join(form.needs_by_ending)})"
            enabled[extra].append(f"format {name}{partly}")
    for plan in plans:
        try:
            formats.check_libraries(plan)
        except MissingLibrary as error:
            needing[error.extra].append(plan.name)
    for extra, (module, distribution) in EXTRAS.items():
        what = ", ".join(enabled[extra])
        facts = {"extra": extra, "library": distribution, "enables": enabled[extra], "version": None}
        check = Check(group="versions", name=extra, state="ok", result=what, facts=facts)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import_module(module)  # one that is installed and broken is found by nothing else
            version = facts["version"] = importlib.metadata.version(distribution)
            yield replace(check, result=f"{distribution} {version}: {what}", facts=facts)
        except Exception as error:  # of a library that is not ours, whatever it raises
            is_missing = isinstance(error, ModuleNotFoundError) and error.name == module
            result = f"{distribution} {'is not installed' if is_missing else f'cannot be imported: {error}'}: {what}"
            hint = f"pip install 'tinytorch-datasets[{extra}]'"
            if of := needing[extra]:
                result += f"; needed by {', '.join(of)}"
                yield replace(check, state="wrong", result=result, hint=hint, exit_code=ExitCode.USAGE.value)
            else:
                yield replace(check, state="ok" if is_missing else "warning", result=result, hint=hint)


def _homes(manifest: Manifest | None, home: AnyPath | None) -> list[tuple[Path, ...]]:
    """Return the folders for downloads of each layer, once; of a manifest that cannot be read, those that are named."""
    if manifest is not None:
        return list(dict.fromkeys(pipeline.locations(layer, home).homes for layer in manifest.layers))
    try:
        homes = (settings.absolute(home),) if home is not None else Settings.from_environment().homes
    except DatasetError:  # which is reported already
        return []
    return [tuple(map(Path, homes))] if homes else []


def _folders(manifest: Manifest | None, homes: Sequence[tuple[Path, ...]]) -> Iterator[Check]:
    """Yield a check of each folder: whether what is to be written there can be, and what ships can be read."""
    hint = f"{disk.ELSEWHERE[0].upper()}{disk.ELSEWHERE[1:]} of your own, or ask its owner."
    for each in homes:
        tried = {home: _write_test(home) for home in each}
        one_takes = not all(error for error, _ in tried.values())
        for home, (error, result) in tried.items():
            check = Check(group="folders", name="downloads", state="ok", result=f"{home} {result}")
            if error and one_takes:  # of several, one is enough
                yield replace(check, result=f"{home} is only read: it {error}")
            elif error:
                code = ExitCode.MISMATCH.value
                yield replace(check, state="wrong", result=f"{home} {error}", hint=hint, exit_code=code)
            else:
                yield check
    for _, folder in _shipped_folders(manifest) if manifest is not None else ():
        check = Check(group="folders", name="shipped", state="ok", result=f"{folder} can be read")
        try:
            next(folder.iterdir(), None)
            yield check
        except OSError as error:
            result, code = f"{folder} cannot be read: {error.strerror}", ExitCode.MISMATCH.value
            hint = "Copy the files that ship there, or install the package again."
            yield replace(check, state="wrong", result=result, hint=hint, exit_code=code)


def _write_test(home: Path) -> tuple[str, str]:
    """Return why a folder and those of ours in it take no file, "" if they do; and a result for when they do."""
    if not home.is_absolute():
        return "cannot be written: nobody knows a home folder for this user", ""
    if not os.path.lexists(home):
        above = next((folder for folder in home.parents if os.path.lexists(folder)), home)
        if settings.is_writable(str(home)):
            return "", "is not there yet; the first download makes it"
        return f"is not there, and cannot be made: {above} takes no folder", ""
    cache = home / disk.FOLDER
    for folder in (home, cache, *(cache / kind for kind in disk.KINDS)):
        if folder != home and not os.path.lexists(folder):
            continue
        if error := settings.write_test(str(folder), WRITTEN):
            inside = "" if folder == home else f"has {folder.relative_to(home)}, which "
            return f"{inside}cannot be written: {error.strerror}", ""
    return "", "can be written"


def _locks(homes: Sequence[tuple[Path, ...]]) -> Iterator[Check]:
    is_any = False
    for home in dict.fromkeys(home for each in homes for home in each if home.is_absolute()):
        for holder in lock.holders(home / disk.FOLDER / "locks"):
            is_any, age_s = True, max(0, round(time.time() - holder.since))
            result = f"held by {holder.process} for {age_s:,} s"
            facts = {"process": holder.process, "seconds": age_s, "is_gone": holder.is_gone}
            check = Check(group="locks", name=holder.label, state="ok", result=result, facts=facts)
            if holder.is_gone:
                yield replace(check, result=f"{holder.process} has ended; its lock ended with it")
            elif age_s > LONG_HELD_S:
                hint = "If it makes no progress, end that process; others go on without it after some minutes."
                yield replace(check, state="warning", hint=hint)
            else:
                yield check
    if not is_any:
        yield Check(group="locks", name="locks", state="ok", result="none is held")


def _room(placed: Sequence[tuple[Plan, Locations]]) -> Iterator[Check]:
    """Yield a check of each folder for downloads: the room on its disk, and what is still to come there."""
    to_come = defaultdict[Path, dict[str, int]](dict)
    for plan, locations in placed:
        if plan.status == "remote":
            missing = sum(file.bytes for file in plan.files if not disk.is_file(plan.root / file.name))
            to_come[locations.home][plan.name] = missing + pipeline.bytes_to_decode(plan, locations)
    for home, needed in to_come.items():
        there = next(folder for folder in (home, *home.parents) if disk.exists(folder))
        free, in_all = shutil.disk_usage(there).free, sum(needed.values())
        waiting = [name for name, count in needed.items() if count]
        what = f"{readable(in_all)} to come: {', '.join(waiting)}" if in_all else "nothing is to come"
        facts = {"path": str(home), "free": free, "to_come": dict(needed)}
        result = f"{readable(free)} free; {what}"
        check = Check(group="room", name=str(home), state="ok", result=result, facts=facts)
        hint = f"Free some room, or {disk.ELSEWHERE} on a larger disk."
        if any(count > free for count in needed.values()):
            yield replace(check, state="wrong", hint=hint, exit_code=ExitCode.MISMATCH.value)
        else:
            yield replace(check, state="warning", hint=hint) if in_all > free else check


def _network(offline: bool | None) -> Iterator[Check]:
    """Yield a check of each variable that decides how addresses are asked, or that none is."""
    chosen, check = Settings.from_environment(offline=offline), partial(Check, group="network", state="ok")
    if chosen.offline:
        why = settings.OFFLINE if offline is None else "the call"
        yield check(name="offline", result=f"no address is asked: {why} forbids it")
    if chosen.standin:
        result = f"{settings.STANDIN} is set: `get` returns data that is made up"
        yield check(name="stand-in", state="warning", result=result, hint=f"Unset {settings.STANDIN} for real data.")
    variables = list(network_variables())
    for name, value, error in variables:
        yield replace(_wrong("network", name, error), result=error.what) if error else check(name=name, result=value)
    if not any("proxy" in name.lower() for name, _, _ in variables):
        yield check(name="proxy", result="no variable names one")
    if remark := unread_certificates():
        yield check(name="certificates", state="warning", result=remark)
