import sys

import numpy as np
import pytest

from neurn._optional import MissingExtraError, import_optional
from neurn.generalize.digits import load_digits, load_photos

datasets = pytest.importorskip("sklearn.datasets")


def test_digits_are_sklearns_enlarged():
    data, original = load_digits(), datasets.load_digits()
    assert data.images.shape == (1797, 3, 32, 32)
    assert (data.images == data.images[:, :1]).all()
    assert data.labels.tolist() == original.target.tolist()
    # Bilinear between pixel centres, the border held constant.
    places = (np.arange(32) + 0.5) / 4 - 0.5
    weights = np.stack([np.interp(places, np.arange(8), unit) for unit in np.eye(8)], axis=1)
    expected = weights @ (255 * original.images / 16) @ weights.T
    assert np.abs(data.images[:, 0] - expected).max() <= 0.5 + 1e-9


def test_native_size_is_exact():
    data, original = load_digits(size=8), datasets.load_digits()
    assert (data.images[:, 0] == np.round(255 * original.images / 16)).all()


def test_photographs():
    photos = load_photos()
    assert [photo.shape for photo in photos] == [(427, 640, 3)] * 2
    assert all(photo.dtype == np.uint8 for photo in photos)


def test_missing_scikit_learn_is_one_sentence(monkeypatch):
    for name in ("sklearn", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"^sklearn .*: pip install 'neurn\[generalize\]'$"):
        load_digits()


def test_a_broken_dependency_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "broken_package.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        import_optional("broken_package")
    assert not isinstance(caught.value, MissingExtraError)
