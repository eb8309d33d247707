"""What ``study.toml`` may say: its tables, keys, defaults and allowed values."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    model_validator,
)

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(value: Any) -> int:
    """Return a number of bytes; texts may carry a unit: ``"4 GB"``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?B?)\s*", str(value), re.IGNORECASE)
    unit = found[2].upper() if found else "?"
    unit = unit if unit in _UNITS else f"{unit}B"
    try:
        if found is None or unit not in _UNITS:
            raise ValueError
        return int(float(found[1]) * _UNITS[unit])
    except ValueError:
        raise ValueError("give a number of bytes or a text such as '4 GB' or '500 MB'") from None


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise ValueError(f"each may be given once, got {twice!r} twice")
    return values


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=10**8)]
Names = Annotated[tuple[str, ...], AfterValidator(_unique), Field(min_length=1)]
# A number is no text, and true is no number.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Side = Annotated[int, Field(strict=True, ge=2, le=224)]
Area = Literal["VISp", "VISl", "VISal", "VISpm", "VISrl", "VISam"]
CreLine = Literal[
    "Cux2-CreERT2",
    "Emx1-IRES-Cre",
    "Slc17a7-IRES2-Cre",
    "Nr5a1-Cre",
    "Rorb-IRES2-Cre",
    "Scnn1a-Tg3-Cre",
    "Rbp4-Cre_KL100",
    "Fezf2-CreER",
    "Tlx3-Cre_PL56",
    "Ntsr1-Cre_GN220",
    "Sst-IRES-Cre",
    "Vip-IRES-Cre",
    "Pvalb-IRES-Cre",
]


class Table(BaseModel):
    """A table of the file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Run(Table):
    """How the work is done; nothing here changes a result."""

    workers: Whole = Field(default=2, ge=1, le=1024)
    """Processes at work at once."""
    memory: Bytes = 8 * 10**9
    """Of all processes together: work waits until there is room."""
    threads: Whole = Field(default=1, ge=1, le=256)
    """Of each process."""


class Simulated(Table):
    """Recordings made by `neurn.mouse.simulate`: real file layout, known truth."""

    source: Literal["simulated"]
    areas: Annotated[tuple[Area, ...], AfterValidator(_unique), Field(min_length=1)] = (
        "VISp",
        "VISl",
    )
    cre_lines: Annotated[tuple[CreLine, ...], AfterValidator(_unique), Field(min_length=1)] = (
        "Cux2-CreERT2",
        "Vip-IRES-Cre",
    )
    neurons: Whole = Field(default=20, ge=2, le=10_000)
    """Of each session; a session for each area and driver."""
    repetitions: Whole = Field(default=50, ge=4, le=1000)
    """How often each image is shown."""
    noise: Number = Field(default=1.0, ge=0)
    """Factor of all noise."""


class Files(Table):
    """Recordings of your own: NWB files of the Allen Brain Observatory."""

    source: Literal["files"]
    files: Names
    """Paths or patterns, from the directory of the study's file."""
    areas: Annotated[tuple[Area, ...], AfterValidator(_unique)] = ()
    """Only sessions of these; all by default."""
    cre_lines: Annotated[tuple[CreLine, ...], AfterValidator(_unique)] = ()
    """Only sessions of these; all by default."""


class Representations(Table):
    """Settings of `neurn.mouse.representations`."""

    size: Side | tuple[Side, Side] = 14
    """Height and width of the maps in pixels."""
    mode: Literal["pixel", "stimulus"] = "pixel"
    whiten: Literal["none", "ridge"] = "none"
    normalize: Literal["none", "zscore", "minmax", "l2"] = "none"
    preset: Literal["none", "paper-text", "paper-figure"] = "none"
    """The paper's: replaces `mode` and `normalize`."""


class Selection(Table):
    """Settings of `neurn.mouse.select`; a class with fewer neurons gives all of them."""

    excitatory: Whole = Field(default=500, ge=0)
    inhibitory: Whole = Field(default=500, ge=0)
    per_cluster: Whole = Field(default=50, ge=1)
    method: Literal["clusters", "random", "reliable", "matched"] = "clusters"
    embedding: Literal["auto", "umap", "pca"] = "auto"
    threshold: Number = Field(default=0.3, ge=-1, le=1)
    """Least reliability, with method = "reliable"."""


class Models(Table):
    """Whose layers are features: settings of `neurn.features`."""

    names: Names = ("MobileNet", "ResNet50", "VGG16")
    """Of the 13 published models, ``torchvision/NAME``, ``timm/NAME`` or ``module:callable``."""
    weights: Literal["cached", "random"] = "cached"
    """Trained ones where this machine has them, else random; or random ones."""
    front_ends: Annotated[tuple[str, ...], AfterValidator(_unique), Field(min_length=1)] = (
        "none",
        "neurn",
    )
    """Each goes before the same weights."""
    layers: Whole = Field(default=4, ge=1, le=1000)
    """How many convolutions, evenly spaced from the first to the last."""
    size: Whole = Field(default=0, ge=0, le=1024)
    """Side in pixels that images are resized to; 0: the model's own."""
    train: Literal["none", "digits"] = "none"
    """``"digits"``: fine-tuned first, each behind its front end, on scikit-learn's digits."""
    epochs: Whole = Field(default=3, ge=1, le=1000)
    """Of the fine-tuning."""
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")


class Compare(Table):
    """How features are held against neurons: settings of `neurn.compare`."""

    metrics: Annotated[
        tuple[Literal["rmse", "rsa", "cka", "regression", "shape", "distributions"], ...],
        AfterValidator(_unique),
        Field(min_length=1),
    ] = ("rmse", "rsa", "cka", "regression", "distributions")
    neurons: Literal["chosen", "all"] = "chosen"
    """Those of [selection], where there is one, or all."""
    normalize: Literal["zscore", "minmax", "l2"] = "zscore"
    """Of maps, for RMSE."""
    pairing: Literal["best-heldout", "best", "mean", "assignment"] = "best-heldout"
    """Which feature stands for a neuron, for RMSE; "mean" is nearest to the published form."""
    permutations: Whole = Field(default=100, ge=10, le=100_000)
    """Of scenes, for the null."""
    bootstrap: Whole = Field(default=200, ge=10, le=100_000)
    """Resamplings, for intervals."""


class Architectures(Table):
    """Settings of `neurn.arch.similarity`, and what the figure zooms in on."""

    models: Literal["published"] | Names = "published"
    """Names of the zoo."""
    vocabulary: Literal["published", "canonical", "fine"] = "published"
    oddities: StrictBool = False
    """The sequences exactly as the published heatmap shows them; published models only."""
    zoom: Annotated[tuple[str, ...], AfterValidator(_unique)] = ("VGG11", "VGG16", "VGG19")
    """Drawn layer by layer, and aligned in pairs: three of `models`, of at most 60 layers."""

    @model_validator(mode="after")
    def _consistent(self) -> Architectures:
        if self.oddities and (self.models != "published" or self.vocabulary != "published"):
            raise ValueError("oddities: only with models = 'published', vocabulary = 'published'")
        return self


class Generalization(Table):
    """Training on one domain, testing on others: settings of `neurn.generalize.evaluate`."""

    source: str = Field(default="digits", min_length=1)
    """A domain that is known by name, ``"digits"`` is embedded; or ``NAME=PATH``."""
    targets: Names = (
        "blend",
        "texture",
        "invert",
        "contrast",
        "contrast=0.1+noise=0.02",
        "noise",
    )
    """Shifts of the source's test images, with or without a number, or domains."""
    models: Names = ("lenet",)
    """Names that `neurn.generalize` knows, ``torchvision/NAME`` or ``timm/NAME``."""
    front_ends: Names = ("none", "neurn", "sobel")
    """The first is the baseline; ``"neurn+randconv"`` adds an augmentation."""
    seeds: Whole = Field(default=5, ge=2, le=1000)
    epochs: Whole = Field(default=12, ge=1, le=10_000)
    batch_size: Whole = Field(default=50, ge=1, le=100_000)
    learning_rate: Number = Field(default=0.003, gt=0)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["constant", "cosine", "linear", "step"] = "constant"
    size: Side = 32
    """Height and width of images."""
    data: str = ""
    """Folder of the files of named domains, from the directory of the study's file."""
    processes: Whole = Field(default=1, ge=1, le=1024)
    """Of each training: more than one are started by torchrun."""
    device: str = Field(default="cpu", pattern=r"^(auto|cpu|cuda(:\d+)?)$")


class Cluster(Table):
    """Where work runs instead of on this machine: workers of dask.distributed.

    All machines must see the output directory under the same path.
    """

    kind: Literal["local", "slurm", "scheduler"]
    """Workers of this machine, jobs of SLURM, or a scheduler that runs already."""
    workers: Whole = Field(default=2, ge=1, le=10_000)
    """Worker processes (local), or jobs (slurm)."""
    memory: Bytes = 4 * 10**9
    """Of each worker, or job."""
    retries: Whole = Field(default=2, ge=0)
    """How often work that failed is tried again."""
    address: str = ""
    """Of the scheduler, ``"tcp://host:8786"``, or the path of its scheduler file."""
    queue: str = ""
    account: str = ""
    walltime: str = Field(default="04:00:00", pattern=r"^(\d+-)?\d{1,3}:\d{2}:\d{2}$")
    """Of a job: ``"HH:MM:SS"`` or ``"D-HH:MM:SS"``."""
    cores: Whole = Field(default=1, ge=1)
    """Of a job."""
    directives: tuple[str, ...] = ()
    """More of SLURM's, such as ``"--gres=gpu:1"``."""
    setup: tuple[str, ...] = ()
    """Shell lines that run before a worker starts, such as ``"module load python"``."""

    @model_validator(mode="after")
    def _consistent(self) -> Cluster:
        if (self.kind == "scheduler") != bool(self.address):
            raise ValueError("address: must be given with kind = 'scheduler', and only then")
        return self


class Study(Table):
    """A whole study. A table that is absent leaves its stages out."""

    title: str = Field(default="A study with neurn", min_length=1, max_length=200)
    seed: Whole = Field(default=0, ge=0, lt=2**31)
    """Of everything that is drawn at random."""
    run: Run = Run()
    recordings: Annotated[Simulated | Files, Field(discriminator="source")] | None = None
    representations: Representations | None = None
    selection: Selection | None = None
    models: Models | None = None
    compare: Compare | None = None
    architectures: Architectures | None = None
    generalization: Generalization | None = None
    cluster: Cluster | None = None

    @model_validator(mode="after")
    def _complete(self) -> Study:
        needs = {
            "representations": ("recordings",),
            "selection": ("recordings", "representations"),
            "models": ("recordings",),
            "compare": ("recordings", "models"),
        }
        for table, needed in needs.items():
            for other in needed:
                if getattr(self, table) is not None and getattr(self, other) is None:
                    raise ValueError(f"[{table}] needs a table [{other}]")
        if not (self.recordings or self.architectures or self.generalization):
            raise ValueError(
                "there is nothing to do: give [recordings], [architectures] or [generalization]"
            )
        return self
