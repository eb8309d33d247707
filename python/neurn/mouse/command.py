"""``neurn mouse``: list, fetch, inspect, describe, simulate, represent and select."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from neurn import mouse
from neurn._optional import import_optional
from neurn.mouse import fetch, figures, tables
from neurn.mouse.groups import AREAS
from neurn.mouse.representations import MODES, NORMALIZATIONS, PRESETS
from neurn.mouse.selection import EMBEDDINGS, METHODS


class ArgumentError(ValueError):
    """An argument is not allowed; the message names it and says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of ``neurn mouse`` and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_list(actions)
    _add_fetch(actions)
    _add_inspect(actions)
    _add_stats(actions)
    _add_simulate(actions)
    _add_represent(actions)
    _add_select(actions)


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say and return 0.

    Raises
    ------
    ArgumentError
        If an argument, or a file that it names, is not allowed.
    """
    try:
        options.act(options)
    except (ValueError, TypeError) as error:
        raise ArgumentError(str(error)) from error
    return 0


def _add(actions: Any, name: str, act: Callable[[argparse.Namespace], None], text: str) -> Any:
    parser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(act=act)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _add_list(actions: Any) -> None:
    parser = _add(actions, "list", _list, "list sessions with natural scenes (needs allensdk)")
    parser.add_argument("--manifest", metavar="FILE", required=True, help="manifest of the cache")
    parser.add_argument("--areas", nargs="+", metavar="AREA", help=f"of {', '.join(AREAS)}")
    parser.add_argument("--cre-lines", nargs="+", metavar="LINE")
    parser.add_argument("--depths", nargs="+", metavar="UM", type=int)
    parser.add_argument("--out", metavar="FILE", help=".csv or .parquet; CSV is printed otherwise")


def _list(options: argparse.Namespace) -> None:
    _check_out(options.out, tables.TABLES)
    found = mouse.Observatory(options.manifest).experiments(
        options.areas, options.cre_lines, options.depths
    )
    if options.out is None:
        found.to_csv(sys.stdout, index=False, lineterminator="\n")
    else:
        tables.write(found, Path(options.out))


def _add_fetch(actions: Any) -> None:
    parser = _add(actions, "fetch", _fetch, "fetch sessions' files from the public bucket")
    parser.add_argument("experiments", nargs="+", metavar="ID", type=int)
    parser.add_argument(
        "--out", metavar="DIR", default=".", help="the cache's directory (default: %(default)s)"
    )
    parser.add_argument("--bucket", metavar="URL", default=fetch.BUCKET, help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help="say names and sizes only")


def _fetch(options: argparse.Namespace) -> None:
    folder = Path(options.out) / "ophys_experiment_data"
    for experiment in options.experiments:
        path = folder / f"{experiment}.nwb"
        if path.exists():
            print(f"{path}: there already")
            continue
        size = fetch.session_size(experiment, bucket=options.bucket)
        print(f"{path}: {size / 1e6:,.1f} MB", flush=True)
        if not options.dry_run:
            progress = None if options.quiet else _percent(f"fetching {experiment}")
            fetch.fetch_session(experiment, path, progress=progress, bucket=options.bucket)


def _add_inspect(actions: Any) -> None:
    parser = _add(actions, "inspect", _inspect, "say what a file holds")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--neuron", metavar="N", type=int, help="draw this neuron, with --plot")
    parser.add_argument("--plot", metavar="FILE", help=", ".join(figures.PICTURES))


def _inspect(options: argparse.Namespace) -> None:
    _check_out(options.plot, figures.PICTURES, "--plot")
    recording = mouse.open_nwb(options.file)
    kind = mouse.describe(recording.metadata.genotype)
    about = {
        "file": recording.path,
        **dataclasses.asdict(recording.metadata),
        **kind._asdict(),
        "layer": mouse.layer(recording.metadata.depth),
        "neurons": len(recording),
        "frames": len(recording.timestamps),
        "frame_rate": round(recording.frame_rate, 4),
        "minutes": round(float(recording.timestamps[-1] - recording.timestamps[0]) / 60, 2),
    }
    if about["depth"] != about["depth"]:
        about["depth"] = None  # JSON has no NaN
    try:
        shown = recording.presentations()
        about["presentations"] = shown.sizes["trial"]
        about["blanks"] = int((shown["stimulus"] < 0).sum())
    except mouse.RecordingError:
        about["presentations"] = about["blanks"] = 0
    if options.json:
        print(json.dumps(about))
    else:
        width = max(map(len, about))
        print("\n".join(f"{name:<{width}}  {value}" for name, value in about.items()))
    if options.plot is not None:
        neuron = options.neuron or 0
        figures.save(figures.draw_neuron(recording, neuron), Path(options.plot))


def _add_stats(actions: Any) -> None:
    parser = _add(actions, "stats", _stats, "describe every neuron of some files")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--out", metavar="FILE", required=True, help=".csv, .parquet or .nc")
    parser.add_argument("--plots", metavar="DIR", help="draw peaks, counts and reliability there")
    parser.add_argument(
        "--scenes",
        nargs="+",
        type=int,
        default=[49, 50, 51, 52],
        help="with panels of their own (default: the published four)",
    )
    parser.add_argument(
        "--window", choices=("onset", "whole"), default="onset", help="of peaks (default: onset)"
    )
    parser.add_argument("--dry-run", action="store_true", help="open the files, compute nothing")


def _stats(options: argparse.Namespace) -> None:
    _check_out(options.out, (*tables.TABLES, *tables.ARRAYS))
    described, peaks, images = [], [], None
    for recording in _recordings(options):
        found = mouse.responses(recording)
        described.append(mouse.statistics(found))
        if options.plots is not None:
            peaks.append(mouse.peaks(found, window=options.window))
            images = recording.images().values
    if not described:
        return
    joined = tables.join(described)
    tables.write(joined, Path(options.out))
    if options.plots is not None:
        folder = Path(options.plots)
        folder.mkdir(parents=True, exist_ok=True)
        every = tables.join(peaks)
        scenes = [s for s in options.scenes if s in every["stimulus"].values]
        figures.save(figures.draw_peaks(every, images, scenes), folder / "peaks.png", every)
        figures.save(figures.draw_reliability(joined), folder / "reliability.png", joined)
        _counts(joined, folder, bool(joined.attrs["simulated"]))


def _counts(neurons: Any, folder: Path, simulated: bool) -> None:
    for name, title in (("area", "area"), ("genotype_group", "genotype group")):
        labels = neurons[name].to_series()
        table = labels.value_counts().sort_index().rename("neurons").rename_axis(name)
        figure = figures.draw_counts(labels.values, title, simulated)
        data = table.reset_index().assign(simulated=simulated)
        figures.save(figure, folder / f"neurons_per_{name}.png", data)


def _add_simulate(actions: Any) -> None:
    parser = _add(actions, "simulate", _simulate, "write simulated sessions with known truth")
    parser.add_argument("--out", metavar="DIR", required=True)
    parser.add_argument("--areas", nargs="+", metavar="AREA", default=["VISp", "VISl"])
    parser.add_argument(
        "--cre-lines", nargs="+", metavar="LINE", default=["Cux2-CreERT2", "Vip-IRES-Cre"]
    )
    parser.add_argument("--neurons", metavar="N", type=int, default=20, help="of each session")
    parser.add_argument("--repetitions", metavar="N", type=int, default=50, help="of each image")
    parser.add_argument("--noise", metavar="X", type=float, default=1.0, help="factor of noise")
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")


def _simulate(options: argparse.Namespace) -> None:
    sessions = len(options.areas) * len(options.cre_lines)
    # 7.5 frames of each of 119 images and 600 without; four traces in single precision.
    frames = 119 * options.repetitions * 7.5 + 600
    size = sessions * (frames * 4 * 4 * options.neurons + 118 * 92 * 118 * 4)
    print(f"{sessions} simulated sessions, about {size / 1e6:,.0f} MB, in {options.out}")
    if options.dry_run:
        return
    made = mouse.simulate(
        options.out,
        areas=options.areas,
        cre_lines=options.cre_lines,
        neurons=options.neurons,
        repetitions=options.repetitions,
        noise=options.noise,
        seed=options.seed,
        progress=None if options.quiet else _percent("simulating"),
    )
    truth = Path(options.out) / "truth.nc"
    tables.write(made.truth, truth)
    print(f"manifest: {made.manifest}\ntruth: {truth}")


def _add_represent(actions: Any) -> None:
    parser = _add(actions, "represent", _represent, "make representations T^T F_S of all neurons")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--out", metavar="FILE", required=True, help=".nc, .csv or .parquet")
    parser.add_argument("--size", metavar="N", type=int, nargs="+", help="height and width")
    parser.add_argument("--mode", choices=MODES, default="pixel")
    parser.add_argument("--whiten", choices=("ridge",))
    parser.add_argument("--normalize", choices=NORMALIZATIONS, default="none")
    parser.add_argument("--preset", choices=tuple(PRESETS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plot", metavar="FILE", help="draw the first 100")
    parser.add_argument("--dry-run", action="store_true", help="open the files, compute nothing")


def _represent(options: argparse.Namespace) -> None:
    _check_out(options.out, (*tables.TABLES, *tables.ARRAYS))
    _check_out(options.plot, figures.PICTURES, "--plot")
    size = options.size
    if size is not None:
        if len(size) > 2:
            raise ArgumentError(f"argument --size: give one number or two, got {len(size)}")
        size = (size[0], size[-1])
    settings = {
        name: getattr(options, name) for name in ("mode", "whiten", "normalize", "preset", "device")
    }
    made = [
        mouse.representations(recording, size=size, **settings)
        for recording in _recordings(options)
    ]
    if not made:
        return
    maps = tables.join(made)
    tables.write(maps, Path(options.out))
    if options.plot is not None:
        figures.save(figures.draw_maps(maps), Path(options.plot))


def _add_select(actions: Any) -> None:
    parser = _add(actions, "select", _select, "choose neurons by their representations")
    parser.add_argument("maps", metavar="FILE", help="what neurn mouse represent wrote, .nc")
    parser.add_argument("--out", metavar="FILE", required=True, help=".csv or .parquet")
    parser.add_argument("--excitatory", metavar="N", type=int, default=500)
    parser.add_argument("--inhibitory", metavar="N", type=int, default=500)
    parser.add_argument("--per-cluster", metavar="N", type=int, default=50)
    parser.add_argument("--method", choices=METHODS, default="clusters")
    parser.add_argument("--embedding", choices=EMBEDDINGS, default="auto")
    parser.add_argument("--stats", metavar="FILE", help="of neurn mouse stats, .nc, for reliable")
    parser.add_argument("--threshold", metavar="R", type=float, default=0.3, help="of reliability")
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--plots", metavar="DIR", help="draw embedding and counts there")


def _select(options: argparse.Namespace) -> None:
    _check_out(options.out, tables.TABLES)
    xarray = import_optional("xarray", "mouse")
    import_optional("h5netcdf", "mouse")
    maps = _load(xarray.load_dataarray, options.maps)
    reliability = None
    if options.stats is not None:
        reliability = _load(xarray.load_dataset, options.stats)["reliability"].values
    chosen = mouse.select(
        maps,
        excitatory=options.excitatory,
        inhibitory=options.inhibitory,
        per_cluster=options.per_cluster,
        method=options.method,
        embedding=options.embedding,
        reliability=reliability,
        threshold=options.threshold,
        seed=options.seed,
    )
    neurons = maps.isel(y=0, x=0, drop=True).isel(neuron=chosen.index)
    named = neurons.to_dataset(name="_").assign_attrs(maps.attrs)
    frame = tables.to_frame(named).drop(columns="_")
    frame.insert(1, "place", chosen.index)
    frame["cluster"] = chosen.cluster[chosen.index]
    frame["method"], frame["embedding"] = chosen.method, chosen.embedded_by
    frame["seed"] = chosen.seed
    tables.write(frame, Path(options.out))
    print(chosen)
    if options.plots is not None:
        folder = Path(options.plots)
        folder.mkdir(parents=True, exist_ok=True)
        _counts(neurons, folder, chosen.simulated)
        if chosen.embedded_by != "none":
            for name in ("area", "genotype_group"):
                figure = figures.draw_embedding(chosen, maps[name].values, name.replace("_", " "))
                figures.save(figure, folder / f"embedding_by_{name}.png")


def _load(load: Callable[..., Any], path: str) -> Any:
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path!r}")
    try:
        return load(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{path!r} is not a file that neurn mouse wrote: {error}") from error


def _recordings(options: argparse.Namespace) -> Iterator[Any]:
    """Open all files before any is computed on; with --dry-run name them, and yield none."""
    opened = [mouse.open_nwb(name) for name in options.files]
    report = None if options.quiet else _percent(options.action)
    for done, recording in enumerate(opened):
        if options.dry_run:
            print(f"{recording.path}: {recording}")
            continue
        yield recording
        if report is not None:
            report(done + 1, len(opened))


def _percent(title: str) -> Callable[[int, int], None]:
    """Return a report of progress on stderr: a line that is rewritten, whole percents."""
    last = -1

    def report(done: int, total: int) -> None:
        nonlocal last
        percent = 100 * done // max(total, 1)
        if percent != last:
            last = percent
            end = "\n" if done >= total else ""
            print(f"\r{title}: {percent} %", end=end, file=sys.stderr, flush=True)

    return report


def _check_out(path: str | None, allowed: Sequence[str], flag: str = "--out") -> None:
    if path is not None and Path(path).suffix.lower() not in allowed:
        raise ArgumentError(f"argument {flag}: must end in {', '.join(allowed)}, got {path!r}")
