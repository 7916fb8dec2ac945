"""Copies of files in a mirror folder: compared, made and hashed in one pass.

What is not the declared file never gets its name. A file is a task of
plain values, so that a worker on another machine can do it, as long as it sees both folders as this process does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_datasets.concurrency.executors import run_tasks
from tinytorch_datasets.concurrency.tasks import Task
from tinytorch_datasets.digests import digest, open_file
from tinytorch_datasets.errors import DatasetError, StorageError
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.storage.files import check_no_link, reading, whole_file, writing
from tinytorch_datasets.verify.files import check_size, mismatch_error

if TYPE_CHECKING:
    from concurrent.futures import Executor

CHUNK_BYTES = 2**20


def are_right(plan: Plan, folder: Path, executor: Executor | None) -> bool:
    """Check whether the folder has every file of a plan."""
    files = ((folder / plan.folder / file.name, file) for file in plan.files)
    tasks = [Task(partial(_is_right, path, file), file.bytes, (path,)) for path, file in files]
    return all((task.job() for task in tasks) if executor is None else run_tasks(tasks, executor))


def _is_right(path: Path, file: File) -> bool:
    if not path.is_file() or path.stat().st_size != file.bytes:
        return False
    try:
        return digest(path).sha256 == file.sha256
    except OSError:
        return False  # and if it cannot be replaced either, that is said then


def copy_missing(plan: Plan, folder: Path, sums: dict[str, str], executor: Executor | None) -> int:
    """Copy what is not there yet of a data set, and return how many files; `sums` takes each that is there now.

    Raises:
        VerifyError: A file on this computer is not the declared one.
        StorageError: The folder cannot be written to, or a file not be read.
    """
    jobs = [partial(_copy_missing, plan.root / file.name, file, folder, plan.folder, plan.hint) for file in plan.files]
    outcomes: Iterable[bool | DatasetError] = (job() for job in jobs)
    if executor is not None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)  # so that workers can be asked whether it is theirs
        tasks = (Task(job, job.args[1].bytes, (job.args[0], folder)) for job in jobs)
        outcomes = run_tasks(tasks, executor)
    copied, errors = list[bool](), list[DatasetError]()
    for file, outcome in zip(plan.files, outcomes, strict=True):
        if not isinstance(outcome, DatasetError):
            copied.append(outcome)
            sums[f"{plan.folder}/{file.name}"] = file.sha256
            continue
        errors.append(outcome)
        if executor is None:  # others were not begun
            break
    if errors:
        raise errors[0]
    return sum(copied)


def _copy_missing(source: Path, file: File, folder: Path, dataset: str, hint: str) -> bool | DatasetError:
    """Copy a file to the mirror folder unless it is there; return whether it was copied, or why it could not be."""
    target = folder / dataset / file.name
    try:
        refuse_links(target, folder)
        if _is_right(target, file):
            return False
        _copy(source, file, target, hint)
    except DatasetError as error:
        return error
    return True


def refuse_links(path: Path, folder: Path) -> None:
    """Refuse a path of a mirror that leads through a symbolic link in it.

    Raises:
        StorageError: There is one.
    """
    try:
        check_no_link(path, below=folder)
    except StorageError as error:
        error.hint = "Delete the link: what it leads to is not replaced, and does not go with the folder."
        raise


def _copy(source: Path, file: File, target: Path, hint: str) -> None:
    """Copy and hash in one pass; what is not the declared file never gets its name."""
    sha256 = hashlib.sha256()
    check_size(source, file, hint=hint)
    with whole_file(target) as out:
        for chunk in _chunks(source, file, hint):
            sha256.update(chunk)
            out.write(chunk)
        if sha256.hexdigest() != file.sha256:
            raise mismatch_error(source, file, sha256.hexdigest(), hint=hint)


def _chunks(source: Path, file: File, hint: str) -> Iterator[bytes]:
    with reading(source, where=file.where, hint=hint), open(source, "rb", opener=open_file) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
