"""Fixtures and hypothesis profiles shared by the whole suite."""

import importlib.util
import os
import sys

import pytest
import torch
from hypothesis import settings

# The same examples in every run, so that a failure is a change of the code and not of the dice.
# `pytest --hypothesis-profile thorough` looks further.
settings.register_profile(
    "suite", derandomize=True, deadline=None, max_examples=60, print_blob=True
)
settings.register_profile("thorough", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("suite")

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


# Session scope: hypothesis refuses function-scoped fixtures beside @given.
@pytest.fixture(scope="session", params=DEVICES)
def device(request):
    """Each device present in turn."""
    return torch.device(request.param)


@pytest.fixture
def restore_threads():
    """Give back the number of intra-op threads that the test found."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def torchvision():
    """The package, or a skip; with its operators declared where its library does not load."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        torchvision.kept_for_tests = library
    return torchvision


@pytest.fixture(scope="session")
def timm(torchvision):
    return pytest.importorskip("timm", reason="timm is not installed")


@pytest.fixture(scope="session")
def keras():
    """The package on torch, or a skip: it reads its backend once, when it is imported."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("keras is not installed")
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    if keras.backend.backend() != "torch":
        pytest.skip(f"keras is imported with the backend {keras.backend.backend()}")
    return keras
