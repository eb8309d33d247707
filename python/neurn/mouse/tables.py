"""Results of several recordings in one table, and tables and arrays as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurn._files import open_atomic, replacing
from neurn._optional import import_optional

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

TABLES = (".csv", ".parquet")
ARRAYS = (".nc",)


def join(parts: Sequence[Any]) -> Any:
    """Join arrays or datasets of several recordings along neurons.

    What they say of one session (``experiment``) is dropped from the attributes; simulated data
    stay marked even beside real ones.

    Parameters
    ----------
    parts : sequence of DataArray or of Dataset
    """
    if not parts:
        raise ValueError("there must be at least one recording, got none")
    joined = import_optional("xarray", "mouse").concat(
        parts, "neuron", join="outer", combine_attrs="override", coords="different", compat="equals"
    )
    # Of parts that were read from files: texts would be cut to the longest of the first file.
    for variable in (joined, *joined.coords.values(), *getattr(joined, "data_vars", {}).values()):
        getattr(variable, "variable", variable).encoding = {}
    joined.attrs = {k: v for k, v in parts[0].attrs.items() if k != "experiment"}
    joined.attrs["simulated"] = int(any(part.attrs.get("simulated", 0) for part in parts))
    return joined


def to_frame(data: xr.Dataset) -> pd.DataFrame:
    """Return a dataset as a tidy table with a column ``simulated``.

    Parameters
    ----------
    data : Dataset
        Of dims ``neuron`` and perhaps others; a line for each combination.
    """
    frame: pd.DataFrame = data.to_dataframe().reset_index()
    frame["simulated"] = bool(data.attrs.get("simulated", 0))
    return frame


def write(data: Any, path: Path) -> None:
    """Write a table (.csv, .parquet) or an array (.nc), whole or not at all.

    Parameters
    ----------
    data : DataFrame, Dataset or DataArray
        A DataFrame goes to tables only; arrays go to either.
    path : Path

    Raises
    ------
    ValueError
        If the suffix is another one.
    """
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        import_optional("h5netcdf", "mouse")
        with replacing(path) as temporary:
            data.to_netcdf(temporary, engine="h5netcdf")
        return
    if suffix not in TABLES:
        raise ValueError(f"{str(path)!r} must end in {', '.join((*TABLES, *ARRAYS))}")
    if hasattr(data, "to_dataframe"):
        # An array's attributes are not those of the dataset made of it.
        named = data if hasattr(data, "data_vars") else data.to_dataset(name=data.name)
        data = to_frame(named.assign_attrs(data.attrs))
    if suffix == ".parquet":
        import_optional("pyarrow", "parquet")
    with open_atomic(path) as file:
        if suffix == ".csv":
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            data.to_csv(text, index=False, lineterminator="\n")
            text.flush()
            text.detach()
        else:
            data.to_parquet(file, index=False)
