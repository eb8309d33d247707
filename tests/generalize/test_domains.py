import hashlib
import json

import numpy as np
import pytest

from neurn.generalize import DataError, NoData, NoDataError, Source, domains, load

from . import files

pytest.importorskip("PIL")
pytest.importorskip("scipy")


def grey(images):
    """What a domain of 28 x 28 or 16 x 16 grey images holds at its own size."""
    return np.repeat(images[:, None], 3, axis=1)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_from_idx(tmp_path, suffix):
    parts = files.write_idx(tmp_path, suffix)
    domain = load("mnist", tmp_path, size=28, verify=False)
    for part, data in (("train", domain.train), ("test", domain.test)):
        assert (data.images == grey(parts[part][0])).all()
        assert data.labels.tolist() == parts[part][1].tolist()
    assert domain.train.classes == 10


def test_a_wrong_hash_is_refused_unless_asked(tmp_path):
    files.write_idx(tmp_path)
    with pytest.raises(DataError, match=r"SHA-256 .* published hash is ba891046e650"):
        load("mnist", tmp_path)
    record = load("mnist", tmp_path, verify=False).provenance["files"]
    assert {entry["verified"] for entry in record} == {"not verified"}


def test_a_record_beside_a_file_is_verified(tmp_path):
    images, labels = files.digits(30, (16, 16))
    path = tmp_path / "usps.npz"
    np.savez(path, x_test=images, y_test=labels)
    (entry,) = load("usps", tmp_path).provenance["files"]
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry == {"file": "usps.npz", "sha256": right, "verified": "no hash known"}
    path.with_suffix(".json").write_text(json.dumps({"sha256": right}))
    (entry,) = load("usps", tmp_path).provenance["files"]
    assert entry["verified"] == "record beside the file"
    path.with_suffix(".json").write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(DataError, match="record beside the file is 000000000000"):
        load("usps", tmp_path)
    with pytest.raises(DataError, match="as expected by the caller"):
        load("usps", tmp_path, sha256="1" * 64)
    assert load("usps", tmp_path, sha256=right.upper()).test is not None


def test_usps_from_text_and_libsvm(tmp_path):
    for part in ("train", "test"):
        images, labels = files.write_usps_text(tmp_path / f"zip.{part}.gz")
    text = load("usps", tmp_path, size=16, verify=False)
    assert (text.test.images == grey(images)).all()
    assert text.test.labels.tolist() == labels.tolist()
    other = tmp_path / "usps"
    other.mkdir()
    for name in ("usps.bz2", "usps.t.bz2"):
        files.write_usps_libsvm(other / name)
    for part in ("train", "test"):
        (tmp_path / f"zip.{part}.gz").unlink()
    assert (load("usps", tmp_path, size=16).test.images == text.test.images).all()


@pytest.mark.parametrize(
    ("name", "file"), [("svhn", "test_32x32.mat"), ("syn", "synth_test_32x32.mat")]
)
def test_street_view_mat(tmp_path, name, file):
    images, labels = files.write_mat(tmp_path / file)
    domain = load(name, tmp_path, verify=False)
    assert domain.train is None
    assert (domain.test.images == np.moveaxis(images, 3, 1)).all()
    assert domain.test.labels.tolist() == labels.tolist()
    with pytest.raises(DataError, match="SHA-256"):
        load(name, tmp_path)


def test_mnistm_from_pictures_and_lists(tmp_path):
    from PIL import Image

    for part in ("train", "test"):
        (tmp_path / f"mnist_m_{part}").mkdir()
        for place in range(3):
            pixels = np.full((32, 32, 3), 10 * place, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"mnist_m_{part}" / f"{place:08}.png")
        lines = "".join(f"{place:08}.png {place + 4}\n" for place in range(3))
        (tmp_path / f"mnist_m_{part}_labels.txt").write_text(lines)
    domain = load("mnistm", tmp_path)
    assert domain.test.labels.tolist() == [4, 5, 6]
    assert domain.test.images[:, 0, 0, 0].tolist() == [0, 10, 20]
    (tmp_path / "mnist_m_test_labels.txt").write_text("00000000.png four\n")
    with pytest.raises(DataError, match=r"line 1: expected a name and a label"):
        load("mnistm", tmp_path)


def test_chars74k_from_folders(tmp_path):
    samples = [f"Sample{number:03d}" for number in range(1, 11)]
    files.write_tree(tmp_path / "English" / "Img" / "GoodImg" / "Bmp", [*samples, "Sample011"], 2)
    files.write_tree(tmp_path / "English" / "Img" / "BadImag" / "Bmp", samples, 1)
    files.write_tree(tmp_path / "English" / "Fnt", samples, 2)
    street, fonts = load("chars74k_img", tmp_path), load("chars74k_fnt", tmp_path)
    assert np.bincount(street.test.labels).tolist() == [3] * 10
    assert fonts.test.images[0, 0, 0, 0] == 255
    assert fonts.train is None


def test_pacs_from_folders_and_npz(tmp_path):
    names = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
    files.write_tree(tmp_path / "PACS" / "photo", names, 1)
    photo = load("pacs/photo", tmp_path, size=16)
    assert photo.class_names == names
    assert photo.train.images.shape == (7, 3, 16, 16)
    images, _ = files.digits(8, (16, 16, 3))
    np.savez(tmp_path / "pacs64.npz", x=images, y=np.arange(8) % 7, domain=np.repeat([0, 3], 4))
    sketch = load("pacs/sketch", tmp_path, size=16)
    assert (sketch.train.images == np.moveaxis(images[4:], 3, 1)).all()
    with pytest.raises(DataError, match=r"no domain 1 \(cartoon\)"):
        load("pacs/cartoon", tmp_path)


def test_folders_of_ones_own(tmp_path):
    for part in ("train", "test"):
        files.write_tree(tmp_path / part, suffix=".jpg")
    domain = load(f"pets={tmp_path}", size=8)
    assert (domain.name, domain.class_names) == ("pets", ("cat", "dog"))
    assert len(domain.train) == len(domain.test) == 6
    assert load(f"pets={tmp_path / 'train'}").train.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_npz_of_ones_own(tmp_path):
    images, labels = files.digits(12, (9, 9, 3))
    np.savez(tmp_path / "mine.npz", x=images, y=labels)
    assert load(f"mine={tmp_path / 'mine.npz'}", size=9).train.labels.tolist() == labels.tolist()


def test_digits_are_always_there():
    domain = load("digits")
    assert len(domain.train) == 1797
    source = domain.as_source()
    assert source.n_train + source.n_validation + source.n_test == 1797


def test_the_first_images_are_the_source(tmp_path):
    files.write_idx(tmp_path)
    domain = load("mnist", tmp_path, size=28, verify=False)
    source = domain.as_source(n=10, validation=0.2, n_test=7)
    assert (source.n_train, source.n_validation, source.n_test) == (8, 2, 7)
    assert (source.data.images == domain.train.images[:10]).all()
    split = source.split(0)
    assert (split.test.images == domain.test.images[split.test.ids]).all()
    assert len(domain.as_target(3)) == len(set(domain.as_target(3).ids)) == 3
    assert domain.class_names == tuple("0123456789")
    with pytest.raises(ValueError, match="validation must lie between 0 and 1"):
        domain.as_source(validation=1.0)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        domain.as_source(0)


def test_files_in_the_order_of_classes_are_not_cut_off_by_class(tmp_path):
    images, labels = files.digits(200, (9, 9))
    order = np.argsort(labels, kind="stable")
    for name, place in (("sorted", order), ("mixed", np.arange(200))):
        x, y = images[place], labels[place]
        np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    ordered, mixed = (load(f"own={tmp_path / name}.npz", size=9) for name in ("sorted", "mixed"))
    source = ordered.as_source(n=50, n_test=40)
    assert np.bincount(source.data.labels).tolist() == [5] * 10
    # The common "first n" where that holds every class.
    assert (mixed.as_source(n=50).data.images == mixed.train.images[:50]).all()
    test = source.split(0).test
    assert test.ids.tolist() == sorted(test.ids)
    for found in (test, ordered.as_target(40)):
        assert np.bincount(ordered.test.labels[found.ids]).tolist() == [4] * 10
        assert found.accuracy(ordered.test.labels[found.ids]) == 1.0
    assert (ordered.as_target(40).ids == ordered.as_target(40).ids).all()
    pooled = Source.pooled("both", [source, source])
    assert np.bincount(pooled.test.labels).tolist() == [8] * 10


def test_missing_data_say_how_to_get_them(tmp_path):
    with pytest.raises(NoDataError, match=r"SVHN: no data in .*test_32x32.mat.*ufldl"):
        load("svhn", tmp_path)
    with pytest.raises(NoDataError, match="no data given"):
        load("svhn")
    with pytest.raises(NoDataError, match="does not exist; give another"):
        load("svhn", tmp_path / "absent")
    with pytest.raises(NoDataError, match="absent does not exist; give an npz"):
        load(f"own={tmp_path / 'absent'}")
    found = domains.load_or_no_data("svhn", tmp_path)
    assert isinstance(found, NoData)
    assert found.title == "SVHN"
    for name, root in ((f"own={tmp_path / 'absent'}", None), ("svhn", tmp_path / "absent")):
        with pytest.raises(NoDataError, match=r"absent'? does not exist"):
            domains.load_or_no_data(name, root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x_test": np.zeros((2, 4, 4), np.uint8), "y_test": np.array([0, 10])}, "label 10 is out"),
        ({"x_test": np.zeros((2, 4, 4), np.uint8), "y_test": np.array([-1, 1])}, "label -1 is out"),
        ({"x_test": np.zeros((2, 4, 4), np.float32), "y_test": np.array([0, 1])}, "must be uint8"),
        ({"x_test": np.zeros((2, 4, 4), np.uint8), "y_test": np.array([0])}, "as many"),
        ({"x_test": np.zeros((0, 4, 4), np.uint8), "y_test": np.array([], int)}, "no images"),
        ({"images": np.zeros(3)}, "it holds images"),
    ],
)
def test_bad_npz_is_one_sentence(tmp_path, content, message):
    np.savez(tmp_path / "usps.npz", **content)
    with pytest.raises(DataError, match=message):
        load("usps", tmp_path)


def test_broken_files_are_one_sentence(tmp_path):
    (tmp_path / "usps.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"usps.npz cannot be read as npz"):
        load("usps", tmp_path)
    (tmp_path / "test_32x32.mat").write_bytes(b"MATLAB?")
    with pytest.raises(DataError, match="cannot be read as mat"):
        load("svhn", tmp_path, verify=False)
    files.write_idx(tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"7,840 bytes, got kind 2051 with 7,835"):
        load("mnist", tmp_path, verify=False)
    files.write_tree(tmp_path / "tree")
    (tmp_path / "tree" / "cat" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1.png cannot be read as a picture"):
        load(f"tree={tmp_path / 'tree'}")
    (tmp_path / "tree" / "empty").mkdir()
    with pytest.raises(DataError, match=r"picture|empty"):
        load(f"tree={tmp_path / 'tree'}")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="one folder of pictures for each class"):
        load(f"bare={tmp_path / 'bare'}")
    for part in ("train", "test"):
        (tmp_path / f"zip.{part}.gz").write_bytes(b"no gzip")
    (tmp_path / "usps.npz").unlink()
    with pytest.raises(DataError, match="lines of numbers"):
        load("usps", tmp_path, verify=False)


def test_unknown_names_and_sizes():
    with pytest.raises(ValueError, match=r"unknown domain 'mnits'; known: digits, mnist"):
        load("mnits")
    with pytest.raises(ValueError, match="size must be at least 1"):
        load("digits", size=0)


def test_the_table_tells_of_every_domain():
    rows = domains.table()
    assert [row["name"] for row in rows] == domains.names()
    assert all(row["licence"] and row["how to get it"] for row in rows)
    expected = {"digits", "mnist", "mnistm", "usps", "svhn", "syn", "chars74k_img", "chars74k_fnt"}
    assert expected <= set(domains.names())
    assert all(len(sha) == 64 for known in domains.KNOWN.values() for sha in known.sha256.values())
