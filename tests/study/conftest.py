"""One small study of everything, for all tests that only look at it."""

import pytest

from neurn import study
from neurn.study.store import Store

RECORDED = """
title = "A small study"
[recordings]
source = "simulated"
areas = ["VISp"]
neurons = 8
repetitions = 6
[representations]
size = [7, 9]
normalize = "zscore"
[selection]
excitatory = 5
inhibitory = 500
per_cluster = 3
embedding = "pca"
"""
TEXT = (
    RECORDED
    + """
[models]
names = ["neurn.generalize.models:lenet"]
size = 32
layers = 2
[compare]
metrics = ["rmse", "rsa", "cka", "regression", "distributions"]
permutations = 10
bootstrap = 10
[architectures]
models = ["VGG11", "VGG16", "VGG19", "ResNet50"]
"""
)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The settings of a small study and the store of its results."""
    for package in ("pydantic", "xarray", "h5netcdf", "sklearn", "matplotlib"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    folder = tmp_path_factory.mktemp("study")
    settings = study.parse(TEXT)
    result = study.run(settings, folder, workers=1, quiet=True, command="neurn study run <a> & b")
    assert result.complete, result.failed
    return settings, Store(folder)
