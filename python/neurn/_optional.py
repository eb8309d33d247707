"""Optional dependencies, imported when first needed."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any


class MissingExtraError(ImportError):
    """An optional dependency is absent; the message says how to install it.

    Examples
    --------
    >>> from neurn._optional import import_optional
    >>> import_optional("no_such_package", "mouse")
    Traceback (most recent call last):
        ...
    neurn._optional.MissingExtraError: no_such_package is needed here and is not installed: ...
    """


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


def import_torch_package(module: str, extra: str = "zoo") -> Any:
    """Import a module of torchvision or timm as `import_optional` does.

    Raises
    ------
    ImportError
        If it is missing, or does not load beside this torch; one sentence.
    """
    try:
        return import_optional(module, extra)
    except RuntimeError as error:  # torchvision, beside a torch that it was not built for
        raise ImportError(
            f"{module.partition('.')[0]} does not load beside torch {version('torch')}, install "
            f"the one made for it: {str(error).splitlines()[0]}"
        ) from error
