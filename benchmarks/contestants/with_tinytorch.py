# /// script
# requires-python = ">=3.10"
# dependencies = ["tinytorch-datasets"]
# ///
# What is measured pays for its imports, and pathlib is one.
"""The tasks with this package, every check on.

The harness sets TINYTORCH_DATASETS_MANIFEST and TINYTORCH_DATASETS_HOME, as a person may.
"""

import probe


def imported():
    """Import the package."""
    import tinytorch_datasets

    return tinytorch_datasets


def opened(dataset, **how):
    """The data set."""
    from tinytorch_datasets import get

    return get(dataset, progress=_silent, **how)


def first_batch(dataset):
    """The data set, and its first 128 samples."""
    data = opened(dataset)
    images, labels = next(iter(data.train.batches(128)))
    probe.note(batch=[len(images), int(images.sum()), int(labels.sum())])
    return data, images, labels


def touched(dataset, **how):
    """The data set, and every byte of it."""
    data = opened(dataset, **how)
    probe.touch(_arrays(data).values())
    return data


def hashed(dataset):
    """The same, every byte on disk hashed now."""
    return touched(dataset, verify="always")


def again(dataset):
    """The second `get`, and a hundred more."""
    data = opened(dataset)
    probe.paced("get_s", 100, lambda: opened(dataset))
    return data


def epochs(dataset):
    """Shuffled passes in batches of 128, as float32 from 0 to 1."""
    data = opened(dataset)
    probe.paced("epoch_s", 3, lambda: [None for _ in _shuffled(data)])
    return data


def bag(dataset):
    """What an epoch hands over."""
    probe.bag(_shuffled(opened(dataset)))


def audit(**how):
    """Everything on disk against the manifest."""
    from tinytorch_datasets import audit

    report = audit(["mnist", "cifar10"], **how)
    if not report.ok:
        raise SystemExit(str(report.findings))
    return report


def audits():
    """The same again and again."""
    audit()
    probe.paced("audit_s", 5, audit)


def audit_decoded():
    """The same, every source decoded as well."""
    return audit(decode="always")


def validated():
    """The whole manifest, read and checked."""
    from tinytorch_datasets import load_manifest

    manifest = load_manifest()
    probe.note(entries=len(manifest.datasets))
    return manifest


def entry(dataset):
    """One entry of the manifest, by way of its data set."""
    data = opened(dataset)
    probe.note(title=data.entry.title)
    return data


def arrays(dataset):
    """What the four arrays hold."""
    probe.digests(_arrays(opened(dataset)))


def _arrays(data):
    return {f"{name}.{field}": split[field] for name, split in data.items() for field in split.fields}


def _shuffled(data):
    return data.train.batches(128, shuffle=True, seed=0, dtype="float32")


def _silent(*_):
    pass


if __name__ == "__main__":
    probe.main(
        {
            "import": imported,
            "first-batch": first_batch,
            "touched": touched,
            "verified": hashed,
            "cold": first_batch,
            "again": again,
            "epochs": epochs,
            "bag": bag,
            "audit": audit,
            "audits": audits,
            "audit-decoded": audit_decoded,
            "validated": validated,
            "entry": entry,
            "arrays": arrays,
        }
    )
