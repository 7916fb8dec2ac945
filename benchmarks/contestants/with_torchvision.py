# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "torchvision", "numpy"]
# ///
# What is measured pays for its imports, and pathlib is one.
# ruff: noqa: PTH119
"""The tasks with `torchvision.datasets`.

torchvision's own code, all of it. Only addresses and MD5 sums are exchanged, for those of the loopback server.
"""

import os

import probe

ARCHIVE = "cifar-10/cifar-10-python.tar.gz"


def opened(dataset):
    """Both splits, in memory."""
    from torchvision import datasets

    facts = probe.facts()
    if dataset == "mnist":

        class MNIST(datasets.MNIST):
            mirrors = [probe.address("mnist/")]  # noqa: RUF012 - as torchvision has it
            resources = [  # noqa: RUF012
                (name.partition("/")[2], about["md5"])
                for name, about in facts["files"].items()
                if name.startswith("mnist/")
            ]

        return {split: MNIST(probe.where(), train=split == "train", download=True) for split in ("train", "test")}
    members = {os.path.basename(name): md5 for name, md5 in facts["members_md5"].items()}

    class CIFAR10(datasets.CIFAR10):
        url = probe.address(ARCHIVE)
        tgz_md5 = facts["files"][ARCHIVE]["md5"]
        train_list = [[f"data_batch_{n}", members[f"data_batch_{n}"]] for n in range(1, 6)]  # noqa: RUF012
        test_list = [["test_batch", members["test_batch"]]]  # noqa: RUF012
        meta = {**datasets.CIFAR10.meta, "md5": members["batches.meta"]}  # noqa: RUF012

    return {split: CIFAR10(probe.where(), train=split == "train", download=True) for split in ("train", "test")}


def first_batch(dataset):
    """Both splits, and the first 128 samples."""
    data = opened(dataset)
    images, labels = (values[:128] for values in _numbers(data["train"]))
    probe.note(batch=[len(images), int(images.sum()), int(labels.sum())])
    return data, images, labels


def touched(dataset):
    """Both splits, and every byte of them."""
    data = opened(dataset)
    probe.touch([values for split in data.values() for values in _numbers(split)])
    return data


def arrays(dataset):
    """What the four arrays hold; CIFAR's images have their channels last here."""
    found = {}
    for name, split in opened(dataset).items():
        images, labels = _numbers(split)
        found[f"{name}.images"] = images.transpose(0, 3, 1, 2) if dataset == "cifar10" else images
        found[f"{name}.labels"] = labels.astype("int64")
    probe.digests(found)


def _numbers(split):
    import numpy as np

    return np.asarray(split.data), np.asarray(split.targets)


if __name__ == "__main__":
    probe.main({"first-batch": first_batch, "touched": touched, "cold": first_batch, "arrays": arrays})
