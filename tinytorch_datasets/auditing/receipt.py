"""Do the receipts that let `get` skip the stages say what the manifest says?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tinytorch_datasets import cache, receipts, stages
from tinytorch_datasets.findings import Finding
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.paths import Places
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.receipts import Receipt


def foreign(book: Manifest, plan: Plan, where: Places) -> Iterator[Finding]:
    """Receipts that `get` would take, and that are not what the manifest makes now: stale, or planted.

    One whose stamps do not fit is taken by nobody, and is no finding. What the arrays themselves hold is compared
    with the decoded files elsewhere.
    """
    folders, caches = stages.array_folders(plan, where), [str(kept) for kept in where.caches]
    for kept in where.caches:
        path = receipts.place(kept, book.path, plan.name)
        receipt = Receipt.read(path)
        if receipt is None or not receipt.is_of(plan.name, str(book.path), caches) or not receipt.holds():
            continue
        arrays = Path(receipt.folder)
        if not (
            arrays in folders
            and cache.is_whole(plan, arrays)
            and receipt.same_as(stages.receipt_of(book.declared(plan.name), plan, arrays))
        ):
            yield Finding(
                rule="receipt",
                dataset=plan.name,
                what="the receipt by which `get` opens it is not what the manifest says",
                path=path,
                where=book.where(plan.name),
                expected="what the manifest makes",
                found="another receipt",
                mend=f"Delete it, or run `tinytorch-datasets clean {plan.name} --arrays`.",
            )
