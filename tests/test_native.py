"""The native libraries: what they depend on, how they are found, what they say."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

import neurn
from neurn import _native, ops


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm (binutils)")
def test_operator_library_uses_no_cxx_symbol_of_torch():
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", _native.ops_library()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    symbols = [line.split()[-1] for line in listing.splitlines()]
    assert any(name.startswith("aoti_torch") for name in symbols)
    assert [name for name in symbols if "c10" in name or "2at" in name or "5torch" in name] == []


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm (binutils)")
def test_operator_library_uses_no_python_symbol():
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", _native.ops_library()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert " Py" not in listing


@pytest.mark.parametrize("version", ["2.10.1", "1.13.0+cpu", "unknown"])
def test_too_old_torch_is_one_sentence(version):
    with pytest.raises(ImportError) as error:
        _native.check_torch(version)
    text = f"neurn needs torch >= 2.11, got torch {version}: install a newer torch."
    assert str(error.value) == text


@pytest.mark.parametrize("version", ["2.11.0+cu130", "2.13.0", "3.0.0a0"])
def test_new_enough_torch_passes(version):
    _native.check_torch(version)


def test_missing_torch_is_one_sentence():
    done = run_python("import sys; sys.modules['torch'] = None; import neurn")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "ImportError: neurn needs torch >= 2.11, and no torch is installed: install torch."
    )


def test_missing_library_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(neurn, "__path__", [str(tmp_path)])
    with pytest.raises(ImportError, match=r"was not built: .*_ops\.so is missing"):
        _native.ops_library()


def test_library_that_does_not_load_says_why(monkeypatch, tmp_path):
    (tmp_path / "_ops.so").write_text("not a library")
    monkeypatch.setattr(neurn, "__path__", [str(tmp_path)])
    with pytest.raises(ImportError, match=r"do not load on torch .*(ELF|file too short)"):
        _native.load()


def test_build_info():
    info = _native.build_info()
    assert info["version"] == neurn.__version__
    assert set(info) == {"version", "compiler", "torch_headers", "cuda"}


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_result(name):
    code = """
import torch, neurn
from neurn import _native
torch.manual_seed(0)
x = torch.rand(2, 3, 37, 41, requires_grad=True)
y = neurn.neurn(x, 7)
(y * torch.linspace(-1, 1, 41)).sum().backward()
print(_native.cpu_kernels(), float(y.double().sum()), float(x.grad.double().norm()))
"""
    used, total, norm = run_python(code, NEURN_CPU=name).stdout.split()
    if used != name:
        pytest.skip(f"this processor has no {name}")
    torch.manual_seed(0)
    x = torch.rand(2, 3, 37, 41, dtype=torch.float32).double().requires_grad_()
    y = neurn.neurn(x, 7)
    (y * torch.linspace(-1, 1, 41)).sum().backward()
    assert float(total) == pytest.approx(float(y.detach().sum()), rel=1e-6)
    assert float(norm) == pytest.approx(float(x.grad.norm()), rel=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        (2, "reflect", "image", 0.0),
        (-1, "reflect", "image", 0.0),
        (3, "mirror", "image", 0.0),
        (3, "reflect", "pixel", 0.0),
        (3, "reflect", "image", -0.5),
        (3, "reflect", "image", float("nan")),
        (3, "reflect", "image", float("inf")),
        (1, "reflect", "image", 0.0),
        (9, "reflect", "image", 0.0),
        (11, "circular", "image", 0.0),
        (5, "valid", "image", 0.0),
    ],
)
@pytest.mark.parametrize("x", [torch.ones(1, 4, 4), torch.ones(4), torch.ones(2, 4, 4).bool()])
def test_native_and_python_sentences_are_the_same(arguments, x):
    def sentence(call):
        try:
            call()
        except RuntimeError as error:
            return str(error)
        return None

    native = sentence(lambda: torch.ops.neurn.forward_stats(x, *arguments))
    python = sentence(lambda: ops._check(x, *arguments))
    assert native == python


def test_backward_refuses_what_forward_did_not_make():
    x = torch.rand(1, 4, 4)
    _, peak, index = torch.ops.neurn.forward_stats(x)
    with pytest.raises(RuntimeError, match="grad must have the shape and dtype of the output"):
        torch.ops.neurn.backward(torch.rand(1, 4, 3), x, peak, index)
    with pytest.raises(RuntimeError, match="peak must have the shape and dtype"):
        torch.ops.neurn.backward(x, x, peak.double(), index)
    with pytest.raises(RuntimeError, match="index must have the shape and dtype"):
        torch.ops.neurn.backward(x, x, peak, index.int())
    with pytest.raises(RuntimeError, match="index must have positions inside the output"):
        torch.ops.neurn.backward(x, x, peak, index + 32)


@pytest.mark.parametrize("name", ["forward_stats", "backward"])
def test_a_cuda_tensor_has_an_answer_in_every_build(name):
    # A kernel, or the sentence that says there is none.
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"neurn::{name}", "CUDA")


def test_missing_cuda_kernels_are_one_sentence():
    with pytest.raises(RuntimeError, match="neurn was built without CUDA kernels: move x to"):
        ops._refuse_cuda(torch.ones(1, 4, 4), 3, "reflect", "image", 0.0)


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm (binutils)")
@pytest.mark.skipif(not _native.build_info()["cuda"], reason="built without CUDA kernels")
def test_library_with_cuda_kernels_needs_nothing_that_torch_for_cpus_lacks():
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", _native.ops_library()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {line.split()[-1] for line in listing.splitlines()}
    everywhere = {"aoti_torch_device_type_cuda"}  # a number, in torch for CPUs too
    assert {name for name in names if "cuda" in name} <= everywhere  # the runtime is inside


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.skipif(not _native.build_info()["cuda"], reason="built without CUDA kernels")
@pytest.mark.parametrize("with_cuda", [True, False])
def test_the_current_stream_is_found_in_a_torch_with_cuda(tmp_path, with_cuda):
    # As Python loads torch: its CUDA library is there, and its symbols are visible to none.
    library = tmp_path / "libtorch_cuda.so"
    (tmp_path / "stream.c").write_text("int aoti_torch_get_current_cuda_stream(void) { return 0; }")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-Wl,-soname,libtorch_cuda.so", "-o", library, "stream.c"],
        cwd=tmp_path,
        check=True,
    )
    expected = with_cuda or torch.version.cuda is not None
    script = (
        "import ctypes, torch, sys\n"
        f"if {with_cuda}: ctypes.CDLL({str(library)!r})\n"
        f"ops = ctypes.CDLL({str(_native.ops_library())!r})\n"
        f"sys.exit(ops.neurn_finds_cuda_stream() != {expected:d})"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
