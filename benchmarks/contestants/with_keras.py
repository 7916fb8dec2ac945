# /// script
# requires-python = ">=3.10"
# dependencies = ["keras", "jax", "numpy"]
# ///
# What is measured pays for its imports, and pathlib is one.
"""The tasks with `keras.datasets`.

Keras' own code, all of it, on JAX, the lightest of its backends (the one for NumPy imports JAX, too). Only the address
and the hash are exchanged, for those of the loopback server; MNIST comes as the one `mnist.npz` that Keras fetches.
"""

import os

import probe

os.environ["KERAS_BACKEND"] = "jax"
os.environ["KERAS_HOME"] = probe.where()
SERVED = {"mnist": "mnist.npz", "cifar10": "cifar-10/cifar-10-python.tar.gz"}


def opened(dataset):
    """All four arrays, in memory."""
    import importlib

    import keras

    keras.config.set_image_data_format("channels_first")
    home = importlib.import_module(f"keras.src.datasets.{dataset}")
    theirs = home.get_file

    def from_loopback(fname=None, origin=None, **how):
        path = SERVED[dataset]
        how["file_hash"] = probe.facts()["files"][path]["sha256"]
        return theirs(fname=fname, origin=probe.address(path), **how)

    home.get_file = from_loopback
    (x_train, y_train), (x_test, y_test) = home.load_data()
    return {"train.images": x_train, "train.labels": y_train, "test.images": x_test, "test.labels": y_test}


def first_batch(dataset):
    """The arrays, and the first 128 samples."""
    arrays = opened(dataset)
    images, labels = arrays["train.images"][:128], arrays["train.labels"][:128]
    probe.note(batch=[len(images), int(images.sum()), int(labels.sum())])
    return arrays, images, labels


def touched(dataset):
    """The arrays, and every byte of them."""
    arrays = opened(dataset)
    probe.touch(arrays.values())
    return arrays


def arrays(dataset):
    """What the four arrays hold; Keras' labels are uint8, CIFAR's in a column of their own."""
    arrays = opened(dataset)
    probe.digests({n: a.reshape(-1).astype("int64") if n.endswith("labels") else a for n, a in arrays.items()})


if __name__ == "__main__":
    probe.main({"first-batch": first_batch, "touched": touched, "cold": first_batch, "arrays": arrays})
