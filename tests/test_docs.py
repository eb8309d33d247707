"""What the documentation says holds: examples of docstrings and pages, links, and the site."""

import ast
import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import neurn
from neurn import study

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("docs/**/*.md"))
RUNNABLE = [p for p in PAGES if p.parent.name in ("tutorials", "howto")]
CODE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


# An installed package has one folder; one that is used where it stands has its libraries elsewhere.
WITH_EXAMPLES = sorted(
    ".".join(("neurn", *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
    for folder in neurn.__path__
    for path in Path(folder).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


ROOMS = ("align", "arch", "features", "compare", "mouse", "generalize", "study")


def public(package):
    """Return the functions and classes that a package names, but for errors."""
    things = {name: getattr(package, name) for name in package.__all__}
    return {
        name: thing
        for name, thing in things.items()
        if inspect.isfunction(thing)
        or (inspect.isclass(thing) and not issubclass(thing, BaseException))
    }


# Their examples need what is not in every environment: allensdk, and torchvision that fits torch.
NOT_RUN = {"Observatory", "AugMix"}


@pytest.mark.parametrize("package", ["neurn", *(f"neurn.{room}" for room in ROOMS)])
def test_every_public_name_has_an_example(package):
    named = public(importlib.import_module(package))
    assert named
    lacking = []
    for name, thing in named.items():
        lines = doctest.DocTestParser().get_examples(thing.__doc__ or "")
        run = [each for each in lines if not each.options.get(doctest.SKIP)]
        # One that shows something; the test below runs all of the module.
        if not any(each.want for each in run) and not (name in NOT_RUN and lines):
            lacking.append(name)
    assert lacking == []
    assert {thing.__module__ for thing in named.values()} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_of_docstrings(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_examples_of_pages(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "mouse" in page.read_text(encoding="utf-8"):
        pytest.importorskip("h5py", reason="h5py is not installed")
    names = {}
    for kind, code in CODE.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_pages_is_code(page):
    for kind, code in CODE.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            ast.parse(code)
        elif kind == "toml":
            tomllib.loads(code)


def test_tables_of_pages_are_allowed_in_a_study():
    pytest.importorskip("pydantic", reason="pydantic is not installed")
    base = '[recordings]\nsource = "simulated"\n'
    for page in RUNNABLE:
        for kind, code in CODE.findall(page.read_text(encoding="utf-8")):
            if kind == "toml":
                study.parse(code if "[recordings]" in code else base + code, page.name)


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("*.md")), *PAGES], ids=lambda p: p.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")
    if not (ROOT / "mkdocs.yml").exists():
        pytest.skip("only in a checkout")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "s")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for room in ROOMS:
        page = (tmp_path / "s" / "api" / f"{room}.html").read_text(encoding="utf-8")
        package = importlib.import_module(f"neurn.{room}")
        for name in package.__all__:
            thing = getattr(package, name)
            if callable(thing):  # where a function is called like its module, the module's is shown
                own = f"{thing.__module__}.{name}"
                assert f'id="neurn.{room}.{name}"' in page or f'id="{own}"' in page, name


def test_wheels_of_every_python_are_planned():
    pytest.importorskip("cibuildwheel", reason="cibuildwheel is not installed")
    planned = {}
    for config in (None, "scripts/wheels_cuda.toml"):
        more = ["--config-file", config] if config else []
        done = subprocess.run(
            [
                *(sys.executable, "-m", "cibuildwheel", "--platform", "linux"),
                *("--archs", "x86_64,aarch64", "--print-build-identifiers", *more, str(ROOT)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        planned[config] = done.stdout.split()
    wanted = {
        f"cp3{minor}-manylinux_{arch}" for minor in range(10, 14) for arch in ("x86_64", "aarch64")
    }
    for found in planned.values():
        assert set(found) == wanted
