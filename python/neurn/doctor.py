"""``neurn doctor``: what is here, what is lacking, and how to get it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
from typing import Any

import torch

import neurn
from neurn import _native

EXTRAS = {
    "study": "neurn study and neurn demo: recordings to report in one command",
    "mouse": "recordings of the mouse visual cortex",
    "arch": "clusters and pictures of architectures",
    "generalize": "training and testing on unseen domains",
    "nas": "populations of searched architectures",
    "zoo": "real models behind the names of the zoo",
    "keras": "Keras models as sequences",
    "onnx": "ONNX files as sequences",
    "umap": "UMAP in the choice of neurons",
    "cluster": "studies on Dask and SLURM",
    "allen": "lists and downloads of the Allen Institute (Python 3.10 and 3.11 only)",
    "parquet": "tables as Parquet",
    "plot": "score matrices as pictures",
    "docs": "building the documentation",
    "dev": "tests and linters",
}

_REQUIREMENT = re.compile(
    r"""^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*);?(.*extra\s*==\s*['"]([\w-]+)['"])?"""
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``neurn doctor``."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no text: the exit code says it")


def run(options: argparse.Namespace) -> int:
    """Look, print, and return 0, or 1 where something does not work."""
    found = examine()
    if options.json:
        print(json.dumps(found, indent=1))
    elif not options.quiet:
        print("\n".join(_lines(found)))
    return 1 if found["problems"] else 0


def examine() -> dict[str, Any]:
    """Return versions, devices, extras and problems.

    Returns
    -------
    dict
        ``versions``, ``machine``, ``build``, ``devices``, ``extras`` (by name: what it is for, what
        is there with its version, what is lacking, how to get it) and ``problems`` (sentences).
    """
    build = _native.build_info()
    problems = _check_operators()
    devices = [
        {"device": f"cuda:{i}", "name": torch.cuda.get_device_name(i)}
        for i in range(torch.cuda.device_count())
    ]
    if devices and not build["cuda"]:
        problems.append(
            "a GPU is here, and neurn was built without CUDA kernels: install the CUDA toolkit "
            "(nvcc) and build again with pip install --force-reinstall --no-deps ."
        )
    return {
        "versions": {
            "neurn": neurn.__version__,
            "torch": torch.__version__,
            "numpy": importlib.metadata.version("numpy"),
            "python": platform.python_version(),
        },
        "machine": {
            "platform": platform.platform(),
            "executable": sys.executable,
            "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
            "memory": _memory(),
            "torch_threads": torch.get_num_threads(),
        },
        "build": build | {"cpu_kernels": _native.cpu_kernels()},
        "devices": devices,
        "extras": {name: _extra(name, text) for name, text in EXTRAS.items()},
        "problems": problems,
    }


def _check_operators() -> list[str]:
    """Run the operators on something whose result is known."""
    problems = []
    patch = torch.zeros(1, 3, 3)
    patch[0, 1, 1] = 3.0
    try:
        sigma = float(neurn.neurn(patch, scope="none", padding="valid"))
        # Mean 1/3, mean square 1: the deviation is sqrt(8 / 9).
        if abs(sigma - (8 / 9) ** 0.5) > 1e-6:
            problems.append(f"the operator gives {sigma} instead of {(8 / 9) ** 0.5}: build again")
        if neurn.align.score("CCM", "CM") != 0:
            problems.append("the aligner gives a wrong score: build again")
    except Exception as error:
        problems.append(f"the operators do not run: {error}")
    return problems


def _memory() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _extra(name: str, text: str) -> dict[str, Any]:
    there, lacking = {}, []
    for package in sorted(_packages(name)):
        try:
            there[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(package)
    about: dict[str, Any] = {"for": text, "there": there, "lacking": lacking}
    if lacking:
        about["fix"] = f"pip install 'neurn[{name}]'"
    return about


def _packages(extra: str) -> set[str]:
    """Return the distributions that an extra brings on this Python, those of its extras too."""
    found: set[str] = set()
    for line in importlib.metadata.requires("neurn") or ():
        match = _REQUIREMENT.match(line)
        if match is None or match[4] != extra or not _applies(match[3]):
            continue
        if match[1].lower() == "neurn":
            for other in re.findall(r"\[([^]]*)\]", line)[0].split(","):
                found |= _packages(other.strip())
        else:
            found.add(match[1].lower())
    return found


def _applies(marker: str) -> bool:
    """Return whether the bound on Python in a marker holds; there is one kind only."""
    bound = re.search(r"""python_version\s*<\s*['"](\d+)\.(\d+)['"]""", marker)
    return bound is None or sys.version_info < (int(bound[1]), int(bound[2]))


def _lines(found: dict[str, Any]) -> list[str]:
    machine, build = found["machine"], found["build"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    devices = ", ".join(f"{d['device']} ({d['name']})" for d in found["devices"]) or "none"
    lines = [
        versions,
        f"{machine['platform']}, {machine['cores']} cores, {machine['memory'] / 1e9:.0f} GB",
        f"kernels: {build['cpu_kernels']}, CUDA {'yes' if build['cuda'] else 'no'}; "
        f"built with {build['compiler']} and torch {build['torch_headers']}",
        f"GPUs: {devices}",
        "",
        "extras",
    ]
    width = max(map(len, found["extras"]))
    for name, about in found["extras"].items():
        state = f"lacks {', '.join(about['lacking'])}" if about["lacking"] else "complete"
        lines.append(f"  {name:<{width}}  {about['for']}")
        lines.append(
            f"  {'':<{width}}  {state}" + (f": {about['fix']}" if about["lacking"] else "")
        )
    lines += ["", *(f"problem: {problem}" for problem in found["problems"])]
    if not found["problems"]:
        lines.append("everything that is installed works")
    return lines
