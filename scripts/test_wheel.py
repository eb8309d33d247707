"""Test a wheel in an environment of its own, next to some torch: make wheel-test.

    python scripts/test_wheel.py wheelhouse/neurn-0.1.0-....whl 2.11.0 [tests ...]

The environment is made in build/ and has the versions of requirements.lock, but for torch and what
is tied to it: tests that need torchvision or timm are skipped. They run from a copy, so that
nothing but the installed wheel can be imported.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("hypothesis", "parasail", "biopython", "pytest", "pytest-xdist")
TIED_TO_TORCH = re.compile(r"^(torch|torchvision|timm)==")


def main() -> int:
    wheel, torch, *tests = sys.argv[1:]
    wheel = str(Path(wheel).resolve())
    folder = ROOT / "build" / f"wheel-test-{torch}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(line for line in lock if not TIED_TO_TORCH.match(line)))

    def run(*command: str, cwd: Path = folder, **more: str) -> int:
        return subprocess.run(command, cwd=cwd, env={**os.environ, **more}, check=False).returncode

    def install(*what: str) -> None:
        if run(str(python), "-m", "pip", "install", "--quiet", "-c", str(constraints), *what):
            sys.exit(1)

    # A torch that is there already stays: whoever wants another build of it puts that there first.
    install(f"torch=={torch}", f"{wheel}[cluster,parquet]", *PACKAGES)
    install("--force-reinstall", "--no-deps", wheel)
    copy = folder / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    # Examples, pages and scripts are tested, too.
    for name in ("tests", "docs", "examples", "scripts", "bench"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (ROOT / "pyproject.toml", ROOT / "CITATION.cff", *ROOT.glob("*.md")):
        shutil.copy(path, copy)
    look = (
        "import neurn, torch; from neurn import _native; "
        "assert 'site-packages' in neurn.__file__, neurn.__file__; "
        f"assert torch.__version__.split('+')[0] == {torch!r}, torch.__version__; "
        "print(f'neurn {neurn.__version__} ({_native.cpu_kernels()}) on torch {torch.__version__}')"
    )
    if run(str(python), "-c", look, cwd=copy):
        return 1
    return run(
        *(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("-n", "auto", "--dist", "loadgroup", *(tests or ["tests"])),
        cwd=copy,
        OMP_NUM_THREADS="1",
    )


if __name__ == "__main__":
    sys.exit(main())
