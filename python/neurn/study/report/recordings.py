"""The section about the data: peaks, counts, reliability, choice of neurons, representations."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurn.mouse import figures, tables
from neurn.study.report.parts import Figure, Section, Table
from neurn.study.report.results import Results
from neurn.study.stages.recordings import read_truth
from neurn.study.stages.selection import read_chosen, read_selection

SCENES = (49, 50, 51, 52)  # those of the published figure


def data(results: Results) -> Section | None:
    """Describe the recordings."""
    neurons, peaks = results.statistics, results.peaks
    if neurons is None or peaks is None:
        return None
    about = results.describe_recordings()
    images = None if results.images is None else results.images.values
    scenes = [scene for scene in SCENES if scene in peaks["stimulus"].values]
    median = float(np.nanmedian(peaks["time_to_peak"].values))
    parts: list[Figure | Table] = [
        Figure(
            "peaks",
            "Peak against time to peak",
            f"{about}. A point for each neuron and image ({peaks['peak'].size:,}; at most 20,000 "
            "are drawn): the largest value of the neuron's mean sweep from onset on, and when. "
            f"Right: images {', '.join(map(str, scenes))}. Median time to peak {median:.2f} s.",
            "Scatter of peak dF/F in percent against time to peak in seconds, coloured by area, "
            "with four small scatters of single images.",
            figures.draw_peaks(peaks, images, scenes),
            tables.to_frame(peaks),
        )
    ]
    reliability = neurons["reliability"].values
    least = float(np.nanmedian(reliability))
    share = 100 * float((reliability >= 0.3).mean())
    parts.append(
        Figure(
            "reliability",
            "Reliability of responses",
            f"{about}. Split-half reliability of the mean responses (100 random halvings of the "
            "trials, Spearman-Brown): the share of each area's neurons that reaches so much. The "
            f"square root is the noise ceiling of a correlation. {share:.0f} % of all reach 0.3.",
            "Falling steps, one line for each area: percent of neurons whose reliability is at "
            "least the value on the horizontal axis.",
            figures.draw_reliability(neurons),
            tables.to_frame(neurons),
        )
    )
    parts += _truth(results, neurons)
    findings = [
        f"{about}. Median split-half reliability {least:.2f}; {share:.0f} % of the neurons reach "
        f"0.3; median time to peak {median:.2f} s."
    ]
    return Section("data", "Recordings", _intro(results), parts, findings)


def selection(results: Results) -> Section | None:
    """Show which neurons were chosen."""
    folders = results.folders("selection")
    neurons = results.statistics
    if not folders or neurons is None:
        return None
    (folder,) = folders.values()
    chosen, maps = read_selection(folder), read_chosen(folder)
    settings = results.settings["selection"]
    about = results.describe_recordings()
    how = f"method {chosen.method}, {settings['per_cluster']} nearest to each centre"
    parts: list[Figure | Table] = []
    for key, title in (("area", "area"), ("genotype_group", "genotype group")):
        labels = maps[key].values
        counts = maps[key].to_series().value_counts().rename("neurons").rename_axis(key)
        parts.append(
            Figure(
                f"chosen_per_{key}",
                f"Chosen neurons per {title}",
                f"{about}; {len(chosen)} of them chosen ({how}, seed {chosen.seed}).",
                f"Bars: number of chosen neurons for each {title}: "
                + ", ".join(f"{name} {n}" for name, n in counts.items()),
                figures.draw_counts(labels, title, chosen.simulated),
                counts.reset_index(),
            )
        )
    if chosen.embedded_by != "none":
        by = {"umap": "UMAP", "pca": "principal components"}[chosen.embedded_by]
        frame = neurons[["reliability"]].to_dataframe().reset_index()
        frame["first"], frame["second"] = chosen.embedding.T
        frame["cluster"], frame["chosen"] = chosen.cluster, np.isin(range(len(frame)), chosen.index)
        for key, title in (("area", "area"), ("genotype_group", "genotype group")):
            parts.append(
                Figure(
                    f"embedding_by_{key}",
                    f"All neurons, coloured by {title}",
                    f"{about}: their representations in two dimensions by {by}, each cell class by "
                    "itself; axes have no unit. Ringed: chosen.",
                    f"Two scatters of neurons in two dimensions, coloured by {title}.",
                    figures.draw_embedding(chosen, neurons[key].values, title),
                    frame if key == "area" else None,
                )
            )
    intro = (
        "Neurons are embedded in two dimensions by their representations and clustered; those "
        "nearest to each cluster's centre stand for the whole. Centres prefer typical neurons, "
        "which often respond little: the choice is no sample of the reliable ones."
    )
    return Section("selection", "Choice of neurons", intro, parts)


def representations(results: Results) -> Section | None:
    """Show representations of neurons."""
    maps = results.maps
    if maps is None:
        return None
    settings = results.settings["representations"]
    kind = [
        f"{key} {settings[key]}" for key in ("mode", "whiten", "normalize", "preset")
        if settings[key] != "none"
    ]  # fmt: skip
    excitatory = maps.isel(neuron=np.flatnonzero(maps["cell_class"].values == "excitatory"))
    shown = excitatory if excitatory.sizes["neuron"] else maps
    figure = Figure(
        "neural_representations",
        "Representations of neurons",
        f"{results.describe_recordings()}. The first {min(100, shown.sizes['neuron'])} excitatory "
        f"ones' representations N = T^T F_S, {maps.sizes['y']} x {maps.sizes['x']} "
        f"({', '.join(kind)}); each from its smallest (dark) to its largest value (bright).",
        "Grid of small maps, one for each neuron.",
        figures.draw_maps(shown),
    )
    intro = (
        "N = T^T F_S, what a neuron's responses T make of the images F_S (arXiv:2505.06886): a "
        "response-weighted mean image, in which a receptive field shows where responses are "
        "reliable."
    )
    return Section("representations", "Representations", intro, [figure])


def _intro(results: Results) -> str:
    if results.simulated:
        return (
            "These recordings are simulated: NWB files of the Allen Brain Observatory's layout "
            "with planted receptive fields, calcium dynamics and noise. What they show is that the "
            "steps work and what they can recover; nothing about mice follows from them."
        )
    return "Two-photon recordings from the files that the study names."


def _truth(results: Results, neurons: Any) -> list[Figure | Table]:
    """Hold measured reliability against the planted one, where it is known."""
    folders = list(results.folders("recordings").values())
    truth = read_truth(folders[0]) if folders else None
    if truth is None:
        return []
    frame = tables.to_frame(neurons[["reliability"]])[["neuron", "area", "reliability"]]
    frame["planted"] = truth["reliability"].values
    frame["error"] = frame["reliability"] - frame["planted"]
    by = frame.groupby("area", sort=False)
    summary = by.agg(
        neurons=("planted", "size"),
        planted=("planted", "median"),
        measured=("reliability", "median"),
        mean_error=("error", "mean"),
    ).reset_index()
    return [
        Table(
            "reliability_truth",
            "Measured against planted reliability",
            "Simulated neurons, whose reliability is known: medians of each area, and the mean of "
            "measured minus planted.",
            summary,
        )
    ]
