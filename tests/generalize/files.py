"""Small files of every kind that domains come in."""

import bz2
import gzip
import struct

import numpy as np


def digits(count, shape=(28, 28), seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, np.arange(count) % 10


def write_idx(folder, suffix=""):
    """MNIST's four files with 20 and 10 images; returns what is in them."""
    parts = {}
    for part, stem, count in (("train", "train", 20), ("test", "t10k", 10)):
        images, labels = digits(count, seed=count)
        parts[part] = (images, labels)
        for name, magic, values in (("images-idx3", 2051, images), ("labels-idx1", 2049, labels)):
            head = struct.pack(f">{values.ndim + 1}I", magic, *values.shape)
            content = head + values.astype(np.uint8).tobytes()
            content = gzip.compress(content) if suffix else content
            (folder / f"{stem}-{name}-ubyte{suffix}").write_bytes(content)
    return parts


def write_mat(path, count=12):
    from scipy.io import savemat

    images, labels = digits(count, (32, 32, 3))
    savemat(path, {"X": np.moveaxis(images, 0, 3), "y": np.where(labels == 0, 10, labels)[:, None]})
    return images, labels


def write_usps_text(path, count=11):
    images, labels = digits(count, (16, 16))
    values = images.reshape(count, 256) / 127.5 - 1
    lines = [
        " ".join([f"{label:.4f}", *(f"{v:.4f}" for v in row)])
        for label, row in zip(labels, values, strict=True)
    ]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return images, labels


def write_usps_libsvm(path, count=11):
    images, labels = digits(count, (16, 16))
    values = images.reshape(count, 256) / 127.5 - 1
    lines = [
        " ".join([str(label + 1), *(f"{i + 1}:{v:.6f}" for i, v in enumerate(row))])
        for label, row in zip(labels, values, strict=True)
    ]
    path.write_bytes(bz2.compress("\n".join(lines).encode()))
    return images, labels


def write_tree(folder, classes=("cat", "dog"), each=3, size=(20, 30), suffix=".png"):
    """Pictures of one colour for each class, one folder a class."""
    from PIL import Image

    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for place in range(each):
            pixels = np.full((*size, 3), 20 * number + place, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{place}{suffix}")
