"""NeuRN on a GPU beside a copy, torch.compile, eager torch and cuDNN; in front of ResNet-50; and
sets of sequences, aligned.

python -m bench.cuda                  # everything, printed
python -m bench.cuda --write-table    # and written to bench/README.md
python -m bench.cuda --only align     # a part, printed and not written: operator, training, align
python -m bench.cuda --rehearse       # tiny tensors, on a CPU too: does the program work?
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
from pathlib import Path

import torch
from torch import Tensor

import neurn
from bench.cuda.align import table_rows
from bench.cuda.cudnn import DivisiveNormalization, Unavailable
from bench.cuda.measure import Call, Stopwatch, peak_bytes
from bench.cuda.resnet import resnet50
from bench.markdown import replace_between, table
from bench.torch_peers import avg_pool, reference, unfold

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- figures of a GPU: begin -->"
END = "<!-- figures of a GPU: end -->"

SHAPES = ((256, 3, 224, 224), (64, 64, 56, 56), (4096, 1, 28, 28), (8, 3, 1024, 1024))
KERNEL_SIZES = (3, 7, 15)
DTYPES = (torch.float32, torch.bfloat16)
# Tensors that must be read or written, in copies, which are one of each.
COPIES = {"forward": 1.0, "backward": 1.5, "forward, backward": 2.5}
OF_COPY = {"forward": 0.85, "backward": 0.75}
OF_COPY_SHAPES = SHAPES[:2]
OF_COMPILE = {"forward": 2.5, "forward, backward": 4.0}
RESNET_SHARE = 0.01

PARTS = ("operator", "training", "align")

Row = dict[str, str]


def _check(y: Tensor, x: Tensor, k: int) -> None:
    """What is timed is also right; the tests of the package look closer."""
    tolerance = 1e-4 if y.dtype == torch.float32 else 2e-2
    expected = reference(x[:1].detach(), k)
    torch.testing.assert_close(y[:1].detach().double(), expected, rtol=0, atol=tolerance)


def _passes(x: Tensor, grad: Tensor, k: int, operator) -> dict[str, Call]:
    """The three passes of an operator; the backward one goes through a graph that is there."""
    wanted = x.detach().requires_grad_()

    def forward() -> Tensor:
        with torch.no_grad():
            return operator(x, k)

    def both() -> Tensor:
        return torch.autograd.grad(operator(wanted, k), wanted, grad)[0]

    y = operator(wanted, k)

    def backward() -> Tensor:
        return torch.autograd.grad(y, wanted, grad, retain_graph=True)[0]

    return {"forward": forward, "backward": backward, "forward, backward": both}


def _peers(x: Tensor, grad: Tensor, k: int) -> dict[str, dict[str, Call]]:
    """Passes of every peer that takes part; each of the others says why it does not."""
    peers: dict[str, dict[str, Call]] = {}
    torch._dynamo.reset()  # what was compiled for another shape must not turn this one dynamic
    operators = {
        "torch.compile": torch.compile(avg_pool, dynamic=False, fullgraph=True),
        "avg_pool2d": avg_pool,
        "unfold": unfold,
    }
    for name, operator in operators.items():
        room = torch.cuda.mem_get_info()[0] if x.is_cuda else 1 << 32
        if name == "unfold" and 4 * k * k * x.nbytes > room:
            _say(f"{name} takes no part: k * k copies of the image do not fit")
            continue
        try:
            peers[name] = _passes(x, grad, k, operator)
            for call in peers[name].values():
                call()
        except torch.OutOfMemoryError:
            peers.pop(name, None)
            torch.cuda.empty_cache()
            _say(f"{name} takes no part: out of memory")
    try:
        cudnn = DivisiveNormalization(x, k)

        def both() -> Tensor:
            cudnn.forward()
            return cudnn.backward(grad)

        calls: dict[str, Call] = {
            "forward": cudnn.forward,
            "backward": lambda: cudnn.backward(grad),
            "forward, backward": both,
        }
        for call in calls.values():
            call()
        peers["cuDNN"] = calls
    except Unavailable as reason:
        _say(f"cuDNN takes no part: {reason}")
    return peers


def _contest(shape: tuple[int, ...], dtype: torch.dtype, k: int, watch: Stopwatch) -> list[Row]:
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(shape, generator=generator).to(watch.device, dtype) for _ in range(2))
    target = torch.empty_like(x)
    _check(neurn.neurn(x, k), x, k)
    own = _passes(x, grad, k, neurn.neurn)
    peers = _peers(x, grad, k)
    rows = []
    for name, copies in COPIES.items():
        calls = {"neurn": own[name], "copy": lambda: target.copy_(x)}
        calls |= {peer: passes[name] for peer, passes in peers.items()}
        times = watch.race(calls)
        of_copy = copies * times["copy"] / times["neurn"]
        ratios = {peer: times[peer] / times["neurn"] for peer in peers}
        goals = []
        if k == 3 and tuple(shape) in OF_COPY_SHAPES and name in OF_COPY:
            goals.append(of_copy >= OF_COPY[name])
        if name in OF_COMPILE and "torch.compile" in ratios:
            goals.append(ratios["torch.compile"] >= OF_COMPILE[name])
        goals += [ratio >= 1 for ratio in ratios.values()]
        beyond = peak_bytes(own[name], watch.device)
        rows.append(
            {
                "tensor": "x".join(map(str, shape)),
                "type": str(dtype).removeprefix("torch."),
                "k": str(k),
                "pass": name,
                "ms": f"{times['neurn']:.3f}",
                "copy, ms": f"{times['copy']:.3f}",
                "bandwidth, % of copy": f"{100 * of_copy:.0f}",
                **{
                    f"{peer}, times as long": f"{ratios[peer]:.1f}" if peer in ratios else ""
                    for peer in ("torch.compile", "avg_pool2d", "unfold", "cuDNN")
                },
                "beyond result, MB": "" if beyond is None else f"{beyond / 1e6:.1f}",
                "goals": _verdict(all(goals), watch),
            }
        )
    return rows


def _training(watch: Stopwatch, batch: int, side: int) -> list[Row]:
    torch.manual_seed(0)
    images = torch.randn(batch, 3, side, side).to(watch.device, torch.bfloat16)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,)).to(watch.device)

    def trainer(model: torch.nn.Module) -> Call:
        model = model.to(watch.device, torch.bfloat16, memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

        def step() -> None:
            loss = torch.nn.functional.cross_entropy(model(images).float(), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    # An image takes no gradient, so the layer before a model runs forward only.
    calls = {"without": trainer(resnet50()), "with": trainer(neurn.prepend(resnet50()))}
    for _ in range(3):
        for call in calls.values():
            call()
    times = watch.race(calls)
    more = times["with"] / times["without"] - 1
    return [
        {
            "batch": f"{batch}x3x{side}x{side}",
            "ResNet-50 step, ms": f"{times['without']:.2f}",
            "with NeuRN, ms": f"{times['with']:.2f}",
            "more, %": f"{100 * more:.2f}",
            "goal": f"at most {100 * RESNET_SHARE:g} %",
            "result": _verdict(more <= RESNET_SHARE, watch),
        }
    ]


def _verdict(met: bool, watch: Stopwatch) -> str:
    if watch.device.type != "cuda":
        return ""
    return "met" if met else "**missed**"


def _machine(device: torch.device, command: str) -> str:
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none: a rehearsal"
    lines = {
        "Command": f"`{command}`",
        "Date": f"{datetime.date.today():%Y-%m-%d}",
        "GPU": gpu,
        "Software": f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"CUDA {torch.version.cuda}, neurn {neurn.__version__}",
    }
    return "\n".join(f"- {key}: {value}" for key, value in lines.items())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cuda", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="measure one part; nothing is written")
    parser.add_argument("--write-table", action="store_true", help="write bench/README.md")
    parser.add_argument("--rehearse", action="store_true", help="tiny tensors, nothing is written")
    options = parser.parse_args(argv)
    if not torch.cuda.is_available() and not options.rehearse:
        print("skipped: no CUDA device is present")
        return 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    watch = Stopwatch(device, rounds=2 if options.rehearse else 30)
    parts = (options.only,) if options.only else PARTS
    sections = [_machine(device, "python -m bench.cuda --write-table")]
    if "operator" in parts:
        rows = []
        for shape in ((2, 3, 32, 32),) if options.rehearse else SHAPES:
            for dtype in DTYPES:
                for k in KERNEL_SIZES:
                    _say(f"{shape} {dtype} k = {k}")
                    rows += _contest(shape, dtype, k, watch)
        sections.append(f"### The operator\n\n{table(rows)}")
    if "training" in parts:
        _say("ResNet-50")
        rows = _training(watch, *((2, 32) if options.rehearse else (256, 224)))
        sections.append(f"### A training step, bfloat16, channels last\n\n{table(rows)}")
    if "align" in parts:
        _say("alignment")
        rows = table_rows(device, options.rehearse)
        sections.append(f"### Alignment, scores\n\n{table(rows)}")
    body = "\n\n".join(sections)
    print(body)
    if options.write_table and not options.rehearse and not options.only:
        replace_between(README, BEGIN, END, body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
