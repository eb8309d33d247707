import pytest

pytest.importorskip("xarray", reason="the extra mouse is not installed")
