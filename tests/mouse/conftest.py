import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py", reason="the extra mouse is not installed")
pytest.importorskip("xarray", reason="the extra mouse is not installed")

from neurn import mouse


@pytest.fixture(scope="session")
def simulation(tmp_path_factory):
    """Four small simulated sessions; the first in VISp with Cux2."""
    return mouse.simulate(
        tmp_path_factory.mktemp("simulation"),
        areas=["VISp", "VISrl"],
        cre_lines=["Cux2-CreERT2", "Vip-IRES-Cre"],
        neurons=8,
        repetitions=6,
        seed=3,
    )


@pytest.fixture(scope="session")
def path(simulation):
    return simulation.paths[0]


@pytest.fixture(scope="session")
def recording(path):
    return mouse.open_nwb(path)


@pytest.fixture(scope="session")
def found(recording):
    """Responses of the first session."""
    return mouse.responses(recording)


@pytest.fixture(scope="session")
def real():
    """Return a loader of the real recordings that lie beside the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "mouse"
    folder = Path(os.environ.get("NEURN_MOUSE_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real recordings beside the repository (NEURN_MOUSE_DATA)")
    return lambda name: np.load(folder / name)
