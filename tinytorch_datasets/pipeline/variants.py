"""Which container of a data set is taken: its own, or a variant that is at hand."""

from __future__ import annotations

from pathlib import Path

from tinytorch_datasets.errors import StorageError, UnknownName, UsageError
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage.files import is_file


def containers(plan: Plan, locations: Locations, mirror: str | None) -> list[Plan]:
    """Return a data set's plan and those of its variants, files placed, in the order to try: first what is at hand."""
    plans = [one.placed(locations) for one in (plan, *plan.variants)]
    if len(plans) < 2:
        return plans
    distances = [0 if _is_at_hand(plan, mirror) else 2 for plan in plans]
    if 0 not in distances:
        from tinytorch_datasets.fetch import ReusableFiles, library_folders  # and with them requests

        # Before 170 MB are downloaded, what other libraries have is looked for, as `fetch` does for each container.
        missing = ReusableFiles((file for plan in plans for file in plan.files), library_folders()).to_download()
        distances = [2 if any(file in missing for file in plan.files) else 1 for plan in plans]
    return [plan for _, plan in sorted(zip(distances, plans, strict=True), key=lambda one: one[0])]


def named(plan: Plan, variant: str) -> Plan:
    """Return the plan of the variant of that name.

    Raises:
        UnknownName: The data set has none of that name.
        UsageError: It is no name.
    """
    if not isinstance(variant, str):
        msg = f"variant is the name of one, not {variant!r}"
        raise UsageError(msg)
    for one in plan.variants:
        if one.variant == variant:
            return one
    raise UnknownName(variant, [one.variant for one in plan.variants], kind=f"variant of {plan.name!r}")


def is_on_disk(plan: Plan) -> bool:
    """Check whether every file of a plan is where it belongs, whatever is in it."""
    try:
        return all(is_file(plan.root / file.name) for file in plan.files)
    except StorageError:
        return False  # of another user's, and so not at hand; whoever reads it will say so


def _is_at_hand(plan: Plan, mirror: str | None) -> bool:
    """Check whether every file is on this disk, or in the folder that is given as the mirror, at its size."""
    if is_on_disk(plan):
        return True
    if not mirror or "://" in mirror:
        return False
    folders = (Path(mirror, plan.folder), Path(mirror))
    return all(any(_has_size(folder / file.name, file.bytes) for folder in folders) for file in plan.files)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False  # not there, or not for us: then it is not at hand
