"""Optional dependencies, imported when first needed."""

from __future__ import annotations

import importlib
from typing import Any


class MissingExtraError(ImportError):
    """An optional dependency is absent; the message says how to install it."""


def import_optional(module: str, extra: str = "study") -> Any:
    """Import an optional module, or say in one sentence how to install it.

    Parameters
    ----------
    module : str
        Dotted name, for example ``"sklearn.datasets"``.
    extra : str
        The extra of the ``neurn`` distribution that brings the module.

    Returns
    -------
    module
        The imported module. Typed ``Any``: optional packages bring no stubs.

    Raises
    ------
    MissingExtraError
        If the package that holds `module` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        # A module missing deeper down is a broken installation: report it as it is.
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"{package} is needed here and is not installed: pip install 'neurn[{extra}]'",
            name=error.name,
        ) from error
