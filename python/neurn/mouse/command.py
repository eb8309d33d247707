"""``neurn mouse``: list, fetch, inspect, describe, simulate, represent and select."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurn import mouse
from neurn._command import ArgumentError, add_actions, tell
from neurn._files import prepare_directory
from neurn._optional import import_optional
from neurn.mouse import events, fetch, figures, tables
from neurn.mouse.groups import AREAS
from neurn.mouse.representations import MODES, NORMALIZATIONS, PRESETS
from neurn.mouse.selection import EMBEDDINGS, METHODS
from neurn.mouse.source import SIGNALS
from neurn.mouse.write import LISTS

PUBLISHED_SCENES = (49, 50, 51, 52)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of ``neurn mouse`` and their arguments."""
    add = add_actions(parser)
    _add_list(add)
    _add_fetch(add)
    _add_inspect(add)
    _add_stats(add)
    _add_simulate(add)
    _add_represent(add)
    _add_select(add)


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


def _add_list(add: Any) -> None:
    parser = add("list", _list, "list sessions with natural scenes (needs allensdk)")
    parser.add_argument("--manifest", metavar="FILE", required=True, help="manifest of the cache")
    parser.add_argument("--areas", nargs="+", metavar="AREA", help=f"of {', '.join(AREAS)}")
    parser.add_argument("--cre-lines", nargs="+", metavar="LINE")
    parser.add_argument("--depths", nargs="+", metavar="UM", type=int)
    parser.add_argument("--out", metavar="FILE", help=".csv or .parquet; CSV is printed otherwise")
    parser.add_argument(
        "--dry-run", action="store_true", help="say whether the lists are there or to be fetched"
    )


def _list(options: argparse.Namespace) -> None:
    _check_out(options.out, tables.TABLES)
    if options.dry_run:
        manifest = Path(options.manifest)
        lists = [manifest, *(manifest.parent / name for name in LISTS)]
        for path in lists:
            there = path.exists()
            text = f"{path}: {'there already' if there else 'would be made or fetched'}"
            tell(options, text, file=str(path), there=there)
        return
    found = mouse.Observatory(options.manifest).experiments(
        options.areas, options.cre_lines, options.depths
    )
    if options.out is not None:
        tables.write(found, Path(options.out))
        tell(options, written=options.out, sessions=len(found))
    elif options.json:
        print(found.to_json(orient="records"))
    elif not options.quiet:
        found.to_csv(sys.stdout, index=False, lineterminator="\n")


def _add_fetch(add: Any) -> None:
    parser = add("fetch", _fetch, "fetch sessions' files from the public bucket")
    parser.add_argument("experiments", nargs="+", metavar="ID", type=int)
    parser.add_argument(
        "--out", metavar="DIR", default=".", help="the cache's directory (default: %(default)s)"
    )
    parser.add_argument("--events", action="store_true", help="fetch their events as well")
    parser.add_argument("--bucket", metavar="URL", default=fetch.BUCKET, help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help="say names and sizes only")


def _fetch(options: argparse.Namespace) -> None:
    kinds: list[tuple[str, str, Any, Any]] = [
        ("ophys_experiment_data", ".nwb", fetch.session_url, fetch.fetch_session)
    ]
    if options.events:
        kinds.append((events.FOLDER, "_events.npz", fetch.events_url, fetch.fetch_events))
    for experiment in options.experiments:
        for folder, suffix, url, fetch_it in kinds:
            path = Path(options.out) / folder / f"{experiment}{suffix}"
            if path.exists():
                tell(options, f"{path}: there already", file=str(path), there=True)
                continue
            size = fetch.size_of(url(experiment, options.bucket))
            text = f"{path}: {size / 1e6:,.1f} MB"
            tell(options, text, file=str(path), bytes=size, there=False)
            if not options.dry_run:
                progress = None if options.quiet else _percent(f"fetching {path.name}")
                fetch_it(experiment, path, progress=progress, bucket=options.bucket)


def _add_inspect(add: Any) -> None:
    parser = add("inspect", _inspect, "say what a file holds")
    parser.add_argument("file", metavar="FILE")
    _add_groups(parser)
    parser.add_argument("--neuron", metavar="N", type=int, help="draw this neuron, with --plot")
    parser.add_argument("--plot", metavar="FILE", help=", ".join(figures.PICTURES))
    _add_data_format(parser)
    parser.add_argument("--dry-run", action="store_true", help="draw nothing")


def _inspect(options: argparse.Namespace) -> None:
    _check_out(options.plot, figures.PICTURES, "--plot")
    if options.neuron is not None and options.plot is None:
        raise ArgumentError("argument --neuron: only with --plot")
    groups = _groups(options)
    recording = mouse.open_nwb(options.file, groups=groups)
    kind = mouse.describe(recording.metadata.genotype, groups)
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
    width = max(map(len, about))
    lines = "\n".join(f"{name:<{width}}  {value}" for name, value in about.items())
    tell(options, lines, **about)
    if options.plot is not None and not options.dry_run:
        neuron = options.neuron or 0
        _save(
            options,
            figures.draw_neuron(recording, neuron),
            Path(options.plot),
            figures.neuron_table(recording, neuron),
        )


def _add_stats(add: Any) -> None:
    parser = add("stats", _stats, "describe every neuron of some files")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--out", metavar="FILE", required=True, help=".csv, .parquet or .nc")
    parser.add_argument("--plots", metavar="DIR", help="draw peaks, counts and reliability there")
    parser.add_argument(
        "--scenes",
        nargs="+",
        metavar="N",
        type=int,
        help="with panels of their own (default: the published four, 49 to 52)",
    )
    parser.add_argument(
        "--window", choices=("onset", "whole"), default="onset", help="of peaks (default: onset)"
    )
    _add_signal(parser)
    _add_groups(parser)
    _add_data_format(parser)
    parser.add_argument("--dry-run", action="store_true", help="open the files, compute nothing")


def _stats(options: argparse.Namespace) -> None:
    _check_out(options.out, (*tables.TABLES, *tables.ARRAYS))
    if options.scenes is not None and options.plots is None:
        raise ArgumentError("argument --scenes: only with --plots")
    described, peaks, images, scenes = [], [], None, []
    for recording in _recordings(options):
        found = mouse.responses(recording, signal=options.signal)
        described.append(mouse.statistics(found))
        if options.plots is not None:
            peaks.append(mouse.peaks(found, window=options.window))
            scenes = _scenes(options, peaks[0]["stimulus"].values.tolist())
            images = recording.images().values
    if not described:
        return
    joined = tables.join(described)
    tables.write(joined, Path(options.out))
    if options.plots is not None:
        folder = Path(options.plots)
        prepare_directory(folder)
        every = tables.join(peaks)
        _save(options, figures.draw_peaks(every, images, scenes), folder / "peaks.png", every)
        _save(options, figures.draw_reliability(joined), folder / "reliability.png", joined)
        _counts(options, joined, folder)
    tell(options, written=options.out, neurons=joined.sizes["neuron"])


def _scenes(options: argparse.Namespace, shown: list[int]) -> list[int]:
    """Return the scenes that get a panel: those asked for, else the published ones there are."""
    for scene in options.scenes or ():
        if scene not in shown:
            raise ArgumentError(
                f"argument --scenes: no scene {scene}, there are {min(shown)} to {max(shown)}"
            )
    return options.scenes or [scene for scene in PUBLISHED_SCENES if scene in shown]


def _counts(options: argparse.Namespace, neurons: Any, folder: Path) -> None:
    simulated = bool(neurons.attrs["simulated"])
    for name, title in (("area", "area"), ("genotype_group", "genotype group")):
        figure = figures.draw_counts(neurons[name].values, title, simulated)
        data = mouse.counts(neurons, [name])
        _save(options, figure, folder / f"neurons_per_{name}.png", data)


def _add_simulate(add: Any) -> None:
    parser = add("simulate", _simulate, "write simulated sessions with known truth")
    parser.add_argument("--out", metavar="DIR", required=True)
    parser.add_argument("--areas", nargs="+", metavar="AREA", default=["VISp", "VISl"])
    parser.add_argument(
        "--cre-lines", nargs="+", metavar="LINE", default=["Cux2-CreERT2", "Vip-IRES-Cre"]
    )
    parser.add_argument("--neurons", metavar="N", type=int, default=20, help="of each session")
    parser.add_argument("--repetitions", metavar="N", type=int, default=50, help="of each image")
    parser.add_argument("--noise", metavar="X", type=float, default=1.0, help="factor of noise")
    parser.add_argument(
        "--running", metavar="X", type=float, default=1.0, help="factor of running's effect"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")


def _simulate(options: argparse.Namespace) -> None:
    sessions = len(options.areas) * len(options.cre_lines)
    # 7.5 frames of each of 119 images and 600 without; four traces in single precision.
    frames = 119 * options.repetitions * 7.5 + 600
    size = sessions * (frames * 4 * 4 * options.neurons + 118 * 92 * 118 * 4)
    text = f"{sessions} simulated sessions, about {size / 1e6:,.0f} MB, in {options.out}"
    if options.dry_run or not options.json:
        tell(options, text, sessions=sessions, bytes=int(size), out=options.out)
    if options.dry_run:
        return
    made = mouse.simulate(
        options.out,
        areas=options.areas,
        cre_lines=options.cre_lines,
        neurons=options.neurons,
        repetitions=options.repetitions,
        noise=options.noise,
        running=options.running,
        seed=options.seed,
        progress=None if options.quiet else _percent("simulating"),
    )
    truth = Path(options.out) / "truth.nc"
    tables.write(made.truth, truth)
    files = {"manifest": str(made.manifest), "truth": str(truth)}
    text = "\n".join(f"{name}: {path}" for name, path in files.items())
    tell(options, text, **files, sessions=[str(path) for path in made.paths])


def _add_represent(add: Any) -> None:
    parser = add("represent", _represent, "make representations T^T F_S of all neurons")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--out", metavar="FILE", required=True, help=".nc, .csv or .parquet")
    parser.add_argument("--size", metavar="N", type=int, nargs="+", help="height and width")
    parser.add_argument("--mode", choices=MODES, default="pixel")
    parser.add_argument("--whiten", choices=("ridge",))
    parser.add_argument("--normalize", choices=NORMALIZATIONS, default="none")
    parser.add_argument("--preset", choices=tuple(PRESETS))
    parser.add_argument("--device", default="cpu", help="of torch (default: %(default)s)")
    _add_signal(parser)
    _add_groups(parser)
    parser.add_argument("--plot", metavar="FILE", help="draw the first 100")
    _add_data_format(parser)
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
    shows_pixels = PRESETS.get(options.preset, settings)["mode"] == "pixel"
    made = [
        mouse.representations(
            mouse.responses(recording, signal=options.signal)["trials"],
            recording.images() if shows_pixels else None,
            size=size,
            **settings,
        )
        for recording in _recordings(options)
    ]
    if not made:
        return
    maps = tables.join(made)
    tables.write(maps, Path(options.out))
    if options.plot is not None:
        shown = maps.isel(neuron=slice(0, 100))
        _save(options, figures.draw_maps(shown), Path(options.plot), shown)
    tell(options, written=options.out, neurons=maps.sizes["neuron"])


def _add_select(add: Any) -> None:
    parser = add("select", _select, "choose neurons by their representations")
    parser.add_argument("maps", metavar="FILE", help="what neurn mouse represent wrote, .nc")
    parser.add_argument("--out", metavar="FILE", required=True, help=".csv or .parquet")
    parser.add_argument("--excitatory", metavar="N", type=int, default=500)
    parser.add_argument("--inhibitory", metavar="N", type=int, default=500)
    parser.add_argument("--per-cluster", metavar="N", type=int, default=50)
    parser.add_argument("--method", choices=METHODS, default="clusters")
    parser.add_argument("--embedding", choices=EMBEDDINGS, default="auto")
    parser.add_argument(
        "--stats", metavar="FILE", help="of neurn mouse stats, .nc, for reliable and matched"
    )
    parser.add_argument("--threshold", metavar="R", type=float, default=0.3, help="of reliability")
    parser.add_argument(
        "--by", default="area", help="groups that are matched (default: %(default)s)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument(
        "--stability", metavar="N", type=int, default=0, help="compare the clusters of N seeds"
    )
    parser.add_argument("--plots", metavar="DIR", help="draw embedding and counts there")
    _add_data_format(parser)
    parser.add_argument("--dry-run", action="store_true", help="read the files, write nothing")


def _select(options: argparse.Namespace) -> None:
    _check_out(options.out, tables.TABLES)
    xarray = import_optional("xarray", "mouse")
    import_optional("h5netcdf", "mouse")
    maps = _load(xarray.load_dataarray, options.maps)
    reliability = None
    if options.stats is not None:
        described = _load(xarray.load_dataset, options.stats)
        for name in ("neuron", "experiment"):
            if described[name].values.tolist() != maps[name].values.tolist():
                raise ArgumentError(
                    f"argument --stats: {options.stats!r} describes other neurons than "
                    f"{options.maps!r}; make both of the same files in the same order"
                )
        reliability = described["reliability"].values
    settings = {
        name: getattr(options, name)
        for name in ("excitatory", "inhibitory", "per_cluster", "method", "embedding")
    }
    settings |= {"reliability": reliability, "threshold": options.threshold, "by": options.by}
    if options.stability and options.method != "clusters":
        raise ArgumentError("argument --stability: only with --method clusters")
    if options.dry_run:
        kinds = mouse.counts(maps, ["cell_class"])
        there = ", ".join(f"{n} {kind}" for kind, n in kinds[["cell_class", "neurons"]].values)
        text = f"{options.maps}: {there} neurons; would write {options.out}"
        tell(options, text, maps=options.maps, out=options.out)
        return
    chosen = mouse.select(maps, seed=options.seed, **settings)
    every = chosen.to_frame(maps)
    tables.write(every[every["chosen"]].drop(columns="chosen"), Path(options.out))
    tell(options, str(chosen), written=options.out, neurons=len(chosen), seed=chosen.seed)
    if options.stability > 1:
        seeds = range(options.seed, options.seed + options.stability)
        alike = mouse.stability(maps, seeds, **settings)
        pairs = alike[np.triu_indices(len(seeds), 1)]
        text = (
            f"adjusted Rand index between {len(seeds)} seeds: mean {pairs.mean():.2f}, "
            f"{pairs.min():.2f} to {pairs.max():.2f}"
        )
        tell(options, text, adjusted_rand_index=alike.tolist())
    if options.plots is not None:
        folder = Path(options.plots)
        prepare_directory(folder)
        _counts(options, maps.isel(neuron=chosen.index), folder)
        if chosen.embedded_by != "none":
            for name in ("area", "genotype_group"):
                figure = figures.draw_embedding(chosen, maps[name].values, name.replace("_", " "))
                _save(options, figure, folder / f"embedding_by_{name}.png", every)


def _load(load: Callable[..., Any], path: str) -> Any:
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path!r}")
    try:
        return load(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{path!r} is not a file that neurn mouse wrote: {error}") from error


def _add_signal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signal",
        choices=SIGNALS,
        default="corrected",
        help="what responses are of; corrected: over the mean before onset (default: %(default)s)",
    )


def _add_groups(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--groups", metavar="FILE", help="JSON: genotype groups of your own, {genotype: name}"
    )


def _add_data_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-format",
        choices=[suffix[1:] for suffix in tables.TABLES],
        default="csv",
        help="of the data beside pictures (default: %(default)s)",
    )


def _save(options: argparse.Namespace, figure: Any, path: Path, data: Any) -> None:
    figures.save(figure, path, data, f".{options.data_format}")


def _groups(options: argparse.Namespace) -> dict[str, str] | None:
    if options.groups is None:
        return None
    try:
        found = json.loads(Path(options.groups).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentError(f"argument --groups: {options.groups!r} is no JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ArgumentError(f"argument --groups: {options.groups!r} must map genotypes to names")
    return found


def _recordings(options: argparse.Namespace) -> Iterator[Any]:
    """Open all files before any is computed on; with --dry-run name them, and yield none.

    A file of another session fails here, and not after the hour that the others took.
    """
    groups = _groups(options)
    opened = [mouse.open_nwb(name, groups=groups) for name in options.files]
    for recording in opened:
        recording.presentations()
    report = None if options.quiet else _percent(options.action)
    for done, recording in enumerate(opened):
        if options.dry_run:
            about = {"file": recording.path, "neurons": len(recording)}
            tell(options, f"{recording.path}: {recording}", **about)
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
    if path is None:
        return
    if Path(path).suffix.lower() not in allowed:
        raise ArgumentError(f"argument {flag}: must end in {', '.join(allowed)}, got {path!r}")
    if not Path(path).parent.is_dir():
        raise ArgumentError(f"argument {flag}: there is no directory {str(Path(path).parent)!r}")
