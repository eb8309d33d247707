import os
from pathlib import Path

import numpy as np
import pytest

for package in ("xarray", "pandas", "scipy", "sklearn"):
    pytest.importorskip(package, reason="the extra mouse is not installed")


@pytest.fixture(scope="session")
def real():
    """Return a loader of the real recordings that lie beside the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "mouse"
    folder = Path(os.environ.get("NEURN_MOUSE_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real recordings beside the repository (NEURN_MOUSE_DATA)")
    return lambda name: np.load(folder / name)


@pytest.fixture
def random():
    return np.random.default_rng(7)
