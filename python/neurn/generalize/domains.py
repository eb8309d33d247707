"""Domains by name: what each is, its licence, how to get it, and how it is read and verified.

Nothing is ever downloaded: files are looked for in a folder that the user names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from neurn.generalize import readers
from neurn.generalize.datasets import Dataset, EvaluationSet, Source, sample_places
from neurn.generalize.digits import load_digits
from neurn.generalize.readers import DataError, Raw


class NoDataError(FileNotFoundError):
    """A domain's files are not there; the message says where to get them.

    Examples
    --------
    >>> from neurn import generalize
    >>> generalize.load("svhn")
    Traceback (most recent call last):
        ...
    neurn.generalize.domains.NoDataError: SVHN: no data given; needs train_32x32.mat, ...
    """


@dataclass(frozen=True)
class NoData:
    """A target domain that could not be had: a row of its own that says "no data".

    Attributes
    ----------
    name, title : str
    reason : str
        One sentence: what is missing and how to get it.

    Examples
    --------
    >>> from neurn.generalize.domains import load_or_no_data
    >>> missing = load_or_no_data("svhn")
    >>> missing.name, missing.title
    ('svhn', 'SVHN')
    >>> missing.reason.partition(";")[0]
    'SVHN: no data given'
    """

    name: str
    title: str
    reason: str


@dataclass(frozen=True)
class Domain:
    """Real images of one domain, at the model's size.

    Attributes
    ----------
    name, title : str
    train, test : Dataset or None
        Its official parts; at least one.
    class_names : tuple of str
        Empty where classes are numbers.
    provenance : mapping
        Files with their SHA-256 and whether that was verified, licence, resize rule.

    Examples
    --------
    >>> from neurn import generalize
    >>> digits = generalize.load("digits", size=8)
    >>> digits.title, len(digits.train), digits.test
    ('scikit-learn digits', 1797, None)
    >>> source = digits.as_source(n=200)
    >>> source.n_train, source.n_validation, source.n_test
    (144, 16, 40)
    >>> len(digits.as_target(limit=50))
    50
    """

    name: str
    title: str
    train: Dataset | None
    test: Dataset | None
    class_names: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def as_source(
        self, n: int | None = None, validation: float = 0.1, n_test: int | None = None
    ) -> Source:
        """Return the domain to train on.

        Parameters
        ----------
        n : int, optional
            Use the first `n` images of the training part only (of all, without test part); where
            these lack a class, as in files in the order of classes, `n` with every class in
            proportion.
        validation : float
            Share of them for selection, above 0 and below 1.
        n_test : int, optional
            Test images, every class in proportion; all of the test part by default, a fifth where
            there is no such part.
        """
        if not 0 < validation < 1:
            raise ValueError(f"validation must lie between 0 and 1, got {validation}")
        for what, count in (("n", n), ("n_test", n_test)):
            if count is not None and count < 1:
                raise ValueError(f"{what} must be at least 1, got {count}")
        whole = self.train or self.test
        assert whole is not None  # a domain has a part
        test = self.test if self.train is not None else None
        data = whole.first(n)
        if len(np.unique(data.labels)) < len(np.unique(whole.labels)):
            data = whole.sample(n)
        drawn = 0 if test is not None else (n_test or max(1, len(data) // 5))
        kept = max(1, round(validation * (len(data) - drawn)))
        count = min(n_test or len(test), len(test)) if test is not None else drawn
        sizes = (len(data) - drawn - kept, kept, count)
        return Source(data, *sizes, test, class_names=self.class_names)

    def as_target(self, limit: int | None = None) -> EvaluationSet:
        """Return the images to test on: the test part, or all where there is none.

        Parameters
        ----------
        limit : int, optional
            So many only, every class in proportion, always the same.
        """
        data = self.test or self.train
        assert data is not None  # a domain has a part
        places = sample_places(data.labels, len(data) if limit is None else limit)
        return EvaluationSet(self.name, data.images[places], data.labels[places], places)


@dataclass(frozen=True)
class Known:
    """What is known of a domain.

    Attributes
    ----------
    title, what, licence, source : str
        Name, content, licence as stated, and how to get it.
    files : tuple of tuple of str
        Ways it may come; each names the files that belong together, below the user's folder.
    classes : int
    sha256 : mapping
        Of files in their published form, by name.
    """

    title: str
    what: str
    licence: str
    source: str
    files: tuple[tuple[str, ...], ...]
    classes: int = 10
    sha256: Mapping[str, str] = field(default_factory=dict)


_MNIST_IDX = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
_DIGITS = tuple("0123456789")
_PACS = ("art_painting", "cartoon", "photo", "sketch")
_PACS_CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")

KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "digits": Known(
            "scikit-learn digits",
            "1,797 handwritten digits, 8x8 grey",
            "CC BY 4.0 (UCI, Alpaydin and Kaynak)",
            "comes with scikit-learn",
            (),
        ),
        "mnist": Known(
            "MNIST",
            "60,000 + 10,000 handwritten digits, 28x28 grey",
            "CC BY-SA 3.0 as commonly stated (LeCun, Cortes, Burges)",
            "https://ossci-datasets.s3.amazonaws.com/mnist/ (four .gz files), or Keras's mnist.npz",
            (("mnist.npz",), _MNIST_IDX, tuple(f"{name}.gz" for name in _MNIST_IDX)),
            sha256={
                "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738"
                "ad16aec93bde7f9b65e87a2fc25776db",
                "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5"
                "333a97f0f4c3dd2ef09a8a9eef7101c5",
                "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77"
                "db3f2f8254e26661ceb7762c4d494ce7",
                "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351"
                "222c34898ecbeaf847f06e48f7ec33f2",
                "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea37026"
                "5605f56be210a4024d2ca8f203523609",
                "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cc"
                "a23d567ec52cac8be1a0730e8010255c",
                "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e3"
                "3eeafee792b84584aec276f5a2dbc4e6",
                "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd"
                "2371eca3ffa0defaefb259924204aec6",
            },
        ),
        "mnistm": Known(
            "MNIST-M",
            "MNIST digits blended into BSDS500 photographs, 59,001 + 9,001, 32x32 RGB",
            "not stated (MNIST: CC BY-SA 3.0; BSDS500: research use)",
            "mnist_m.tar.gz from the authors of arXiv:1505.07818 (Ganin et al.)",
            (
                ("mnistm.npz",),
                ("mnist_m_train_labels.txt", "mnist_m_test_labels.txt"),
            ),
        ),
        "usps": Known(
            "USPS",
            "7,291 + 2,007 handwritten digits, 16x16 grey",
            "not stated (made available by AT&T research)",
            "zip.train.gz and zip.test.gz of https://hastie.su.domains/ElemStatLearn/data.html, or "
            "usps.bz2 and usps.t.bz2 of LIBSVM's data page",
            (("usps.npz",), ("zip.train.gz", "zip.test.gz"), ("usps.bz2", "usps.t.bz2")),
            sha256={
                "zip.train.gz": "66ebf231ab51f2cf6ac1a892d0f98ccffee1079d7a5db638c1f11f366046ca16",
                "zip.test.gz": "8dacc3c6e136af6c3488de9e5113a7daf140c8c2f1f0b61c54ee02f03f1a962f",
            },
        ),
        "svhn": Known(
            "SVHN",
            "73,257 + 26,032 cropped house numbers, 32x32 RGB",
            "non-commercial use",
            "train_32x32.mat and test_32x32.mat from http://ufldl.stanford.edu/housenumbers/",
            (("train_32x32.mat", "test_32x32.mat"), ("test_32x32.mat",), ("svhn.npz",)),
            sha256={
                "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc3"
                "2cb6ae8af2240d066de1df7508d083b8",
                "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec"
                "5a99d7ca4831afa54f09182025b6a75b",
            },
        ),
        "syn": Known(
            "SYN digits",
            "479,400 + 9,553 synthetic digits, 32x32 RGB",
            "not stated",
            "synth_train_32x32.mat and synth_test_32x32.mat of SynthDigits (Ganin and Lempitsky)",
            (
                ("synth_train_32x32.mat", "synth_test_32x32.mat"),
                ("synth_test_32x32.mat",),
                ("syn.npz",),
            ),
            sha256={
                "synth_train_32x32.mat": "e0e0924ecd0c0b5a55ed6485aaa7d399"
                "37af982397717b89a3d91777aca9433c",
                "synth_test_32x32.mat": "6285fe9a1c6f27b379a47263907a3789"
                "9b59ce86948fd343a5b904435cde5bcc",
            },
        ),
        "chars74k_img": Known(
            "Street digits (Chars74K)",
            "digits 0 to 9 cut from photographs of streets, RGB",
            "not stated; cite de Campos, Babu, Varma, VISAPP 2009",
            "EnglishImg.tgz of http://www.ee.surrey.ac.uk/CVSSP/demos/chars74k/ "
            "(English/Img/GoodImg and BadImag)",
            (("chars74k_img.npz",), ("English/Img/GoodImg/Bmp",), ("Img/GoodImg/Bmp",)),
        ),
        "chars74k_fnt": Known(
            "Fonts (Chars74K)",
            "digits 0 to 9 of 1,016 computer fonts, 128x128 grey, inverted to white ink on black",
            "not stated; cite de Campos, Babu, Varma, VISAPP 2009",
            "EnglishFnt.tgz of http://www.ee.surrey.ac.uk/CVSSP/demos/chars74k/ (English/Fnt)",
            (("chars74k_fnt.npz",), ("English/Fnt",), ("Fnt",)),
        ),
        **{
            f"pacs/{name}": Known(
                f"PACS {name.replace('_', ' ')}",
                "one of four styles of seven classes, 227x227 RGB",
                "research use (Li et al., ICCV 2017)",
                "PACS of https://domaingeneralization.github.io, as folders domain/class",
                (("pacs64.npz",), ("pacs.npz",), (name,), (f"PACS/{name}",)),
                classes=7,
            )
            for name in _PACS
        },
    }
)


def names() -> list[str]:
    """List the domains known by name."""
    return list(KNOWN)


def load(
    name: str,
    root: str | Path | None = None,
    size: int = 32,
    *,
    sha256: str | None = None,
    verify: bool = True,
) -> Domain:
    """Load a domain from the user's files.

    Parameters
    ----------
    name : str
        A name of `names`; or ``"NAME=PATH"``, a name of one's own for any npz file, folder with one
        folder of pictures for each class, or such folders below ``train`` and ``test``.
    root : str or Path, optional
        Folder that holds the files of known domains, or a folder for each named as they are.
    size : int
        Images are brought to size x size pixels by `neurn.generalize.readers.RESIZE_RULE`.
    sha256 : str, optional
        Expected of the npz or mat file, in place of what is known.
    verify : bool
        Compare SHA-256 with what is published, or with the record (``FILE.json`` with a key
        "sha256") beside a file.

    Returns
    -------
    Domain

    Raises
    ------
    NoDataError
        If no file of the domain is there; the message says how to get it.
    DataError
        If a file cannot be read, has another hash, or a label is outside the classes.
    ValueError
        If the name is unknown, or the size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> digits = generalize.load("digits", size=16)
    >>> digits.train.images.shape, digits.train.images.dtype
    ((1797, 3, 16, 16), dtype('uint8'))
    >>> digits.provenance["licence"]
    'CC BY 4.0 (UCI, Alpaydin and Kaynak)'
    >>> images, labels = np.zeros((4, 20, 20), np.uint8), np.array([0, 1, 0, 1])
    >>> np.savez("own.npz", x=images, y=labels)
    >>> generalize.load("mine=own.npz", size=16).train.images.shape
    (4, 3, 16, 16)
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    own, equals, path = name.partition("=")
    if equals:
        return _load_own(own, Path(path), size, sha256)
    if name not in KNOWN:
        raise ValueError(
            f"unknown domain {name!r}; known: {', '.join(KNOWN)}; or NAME=PATH for your own files"
        )
    if name == "digits":
        return _digits(size)
    known = KNOWN[name]
    files = _find(name, known, root)
    record = [_verified(file, known, sha256, verify) for file in files if file.is_file()]
    parts, class_names = _read(name, files, size)
    try:
        datasets = {
            part: Dataset(name, images, labels, known.classes)
            for part, (images, labels) in parts.items()
        }
    except ValueError as error:
        raise DataError(f"{files[0]}: {error}") from error
    provenance = {
        "files": record or [{"file": str(files[0]), "verified": "no hash known"}],
        "licence": known.licence,
        "source": known.source,
        "resize": readers.RESIZE_RULE,
    }
    return Domain(
        name, known.title, datasets.get("train"), datasets.get("test"), class_names, provenance
    )


def load_or_no_data(name: str, root: str | Path | None = None, size: int = 32) -> Domain | NoData:
    """Load a target domain, or say that there is no data; other errors are raised.

    A folder or path that was given and is not there is an error: a slip, and no lack of data.
    """
    try:
        return load(name, root, size)
    except NoDataError as error:
        if "=" in name or (root is not None and not Path(root).is_dir()):
            raise
        title = KNOWN[name].title if name in KNOWN else name
        return NoData(name, title, str(error))


def table() -> list[dict[str, str]]:
    """Say what each known domain is, its licence and how to get it, one dict a domain."""
    return [
        {
            "name": name,
            "title": known.title,
            "what": known.what,
            "licence": known.licence,
            "how to get it": known.source,
            "files": " or ".join(", ".join(way) for way in known.files) or "none",
            "sha256": "known" if known.sha256 else "none published",
        }
        for name, known in KNOWN.items()
    ]


def _digits(size: int) -> Domain:
    data = load_digits(size)
    provenance = {
        "files": [{"file": "sklearn.datasets.load_digits", "sha256": data.sha256()}],
        "licence": KNOWN["digits"].licence,
        "resize": readers.RESIZE_RULE,
    }
    return Domain("digits", KNOWN["digits"].title, data, None, _DIGITS, provenance)


def _load_own(name: str, path: Path, size: int, sha256: str | None) -> Domain:
    if not name:
        raise ValueError(f"{name}={path}: give a name before the equals sign")
    if not path.exists():
        raise NoDataError(f"{name}: {path} does not exist; give an npz file or a folder")
    class_names: tuple[str, ...] = ()
    record: dict[str, Any] = {"file": str(path), "verified": "no hash known"}
    if path.is_file():
        record = _verified(path, None, sha256, True)
        raw = readers.read_npz(path)
        if "test" not in raw and "train" not in raw and len(raw) > 1:
            raise DataError(f"{path} holds {len(raw)} domains; give a file with one")
        parts = {
            part if part in ("train", "test") else "train": (readers.resize(images, size), labels)
            for part, (images, labels) in raw.items()
        }
    else:
        folders = [part for part in ("train", "test") if (path / part).is_dir()]
        parts = {}
        for part in folders or [""]:
            images, labels, found = readers.read_tree(path / part, size, class_names)
            parts[part or "train"] = (images, labels)
            class_names = found
    classes = max(int(labels.max()) for _, labels in parts.values()) + 1
    try:
        datasets = {part: Dataset(name, *pair, classes) for part, pair in parts.items()}
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    provenance = {"files": [record], "resize": readers.RESIZE_RULE}
    return Domain(name, name, datasets.get("train"), datasets.get("test"), class_names, provenance)


def _find(name: str, known: Known, root: str | Path | None) -> tuple[Path, ...]:
    base = name.partition("/")[0]
    if root is not None:
        folder = Path(root)
        if not folder.is_dir():
            raise NoDataError(f"data folder {str(folder)!r} does not exist; give another")
        for place in (folder, folder / base, folder / base.upper(), folder / "mnist_m"):
            for way in known.files:
                files = tuple(place / file for file in way)
                if all(file.exists() for file in files):
                    return files
    where = f"in {str(root)!r}" if root is not None else "given"
    wanted = " or ".join(", ".join(way) for way in known.files)
    raise NoDataError(
        f"{known.title}: no data {where}; needs {wanted}. How to get it: {known.source}"
    )


def _verified(
    path: Path, known: Known | None, expected: str | None, verify: bool
) -> dict[str, Any]:
    """Hash a file and compare it with what is expected, published, or recorded beside it."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    found = digest.hexdigest()
    record: dict[str, Any] = {"file": path.name, "sha256": found, "verified": "no hash known"}
    beside = path.with_suffix(".json")
    if expected is not None and path.suffix in (".npz", ".mat"):
        wanted, by = expected.lower(), "as expected by the caller"
    elif not verify:
        return record | {"verified": "not verified"}
    elif known is not None and path.name in known.sha256:
        wanted, by = known.sha256[path.name], "published hash"
    elif beside.is_file():
        wanted, by = _recorded(beside), "record beside the file"
    else:
        return record
    if not wanted:
        return record
    if found != wanted:
        raise DataError(
            f"{path} has SHA-256 {found[:12]}..., but {by} is {wanted[:12]}...: it is damaged or "
            "another version; get it again, or pass verify=False"
        )
    return record | {"verified": by}


def _recorded(path: Path) -> str:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return ""
    return str(content.get("sha256", "")) if isinstance(content, dict) else ""


def _read(
    name: str, files: tuple[Path, ...], size: int
) -> tuple[dict[str, tuple[Any, Any]], tuple[str, ...]]:
    first = files[0]
    base, _, style = name.partition("/")
    if first.suffix == ".npz":
        raw = readers.read_npz(first)
        if style:
            number = str(_PACS.index(style))
            if number not in raw:
                raise DataError(f"{first} holds no domain {number} ({style})")
            return _resized({"train": raw[number]}, size), _PACS_CLASSES
        return _resized(raw, size), _DIGITS
    if style:
        images, labels, classes = readers.read_tree(first, size, _PACS_CLASSES)
        return {"train": (images, labels)}, classes
    return _READERS[base](files, size), _DIGITS


def _mnist(files: tuple[Path, ...], size: int) -> dict[str, tuple[Any, Any]]:
    pairs = {"train": files[:2], "test": files[2:]}
    return _resized({part: readers.read_idx(*pair) for part, pair in pairs.items()}, size)


def _mnistm(files: tuple[Path, ...], size: int) -> dict[str, tuple[Any, Any]]:
    folder = files[0].parent
    return {
        part: readers.read_list(folder / f"mnist_m_{part}", lines, size)
        for part, lines in zip(("train", "test"), files, strict=True)
    }


def _usps(files: tuple[Path, ...], size: int) -> dict[str, tuple[Any, Any]]:
    read = readers.read_zip_text if files[0].suffix == ".gz" else readers.read_libsvm
    return _resized(
        {part: read(file) for part, file in zip(("train", "test"), files, strict=True)}, size
    )


def _mat(files: tuple[Path, ...], size: int) -> dict[str, tuple[Any, Any]]:
    parts = ("train", "test")[-len(files) :]
    return _resized(
        {part: readers.read_mat(file) for part, file in zip(parts, files, strict=True)}, size
    )


_SAMPLES = tuple(f"Sample{number:03d}" for number in range(1, 11))


def _street(files: tuple[Path, ...], size: int) -> dict[str, tuple[Any, Any]]:
    good = files[0]
    trees = [good, good.parents[1] / "BadImag" / "Bmp"]
    read = [readers.read_tree(tree, size, _SAMPLES) for tree in trees if tree.is_dir()]
    return {
        "test": (np.concatenate([x for x, _, _ in read]), np.concatenate([y for _, y, _ in read]))
    }


def _fonts(files: tuple[Path, ...], size: int) -> dict[str, tuple[Any, Any]]:
    images, labels, _ = readers.read_tree(files[0], size, _SAMPLES)
    return {"test": (np.uint8(255) - images, labels)}


_READERS: Mapping[str, Callable[[tuple[Path, ...], int], dict[str, tuple[Any, Any]]]] = (
    MappingProxyType(
        {
            "mnist": _mnist,
            "mnistm": _mnistm,
            "usps": _usps,
            "svhn": _mat,
            "syn": _mat,
            "chars74k_img": _street,
            "chars74k_fnt": _fonts,
        }
    )
)


def _resized(raw: Mapping[str, Raw], size: int) -> dict[str, tuple[Any, Any]]:
    return {part: (readers.resize(images, size), labels) for part, (images, labels) in raw.items()}
