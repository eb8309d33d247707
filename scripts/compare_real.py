"""Compare models with the real recordings of docs/comparison.md, and write its tables.

    python scripts/compare_real.py DATA OUT

DATA holds allen_scenes_118x31x31.npz, allen_site_similarity_21x119x119.npz and
antolik2016_v1_validation.npz. OUT gets comparison_sites.csv, .png, comparison_neurons.csv and
results.md; models that are there already are not computed again.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas
import torch

from neurn import compare, features
from neurn.compare import baselines
from neurn.compare.rdm import compare_vectors, ranks, upper
from neurn.compare.statistics import two_sided
from neurn.generalize.models import lenet

SIDE = 64
LARGER = {"InceptionV3": 96, "InceptionResNetV2": 96, "Xception": 96}  # they shrink more
FRONT_ENDS = ("none", "neurn")  # "sobel" is the control with the same invariance
BOOTSTRAP = 200
SEED = 0


def models():
    """Yield names and makers: small nets of digits, and the 13 with what weights there are."""
    yield "LeNet, random", lambda: _lenet(False)
    yield "LeNet, digits", lambda: _lenet(True)
    for name in features.PUBLISHED:
        yield name, lambda name=name: features.build(name, size=LARGER.get(name, SIDE))


def _lenet(trained):
    torch.manual_seed(SEED)
    net = features.NamedModel(lenet(), "LeNet", f"random weights (seed {SEED})", 32)
    return features.finetune(net, "digits", epochs=15, seed=SEED).model if trained else net


def flat(layer):
    """Activity of all positions, (scenes, features)."""
    return layer.values.reshape(len(layer), -1)


def of_sites(layers, sites, folds):
    """RDM correlations with each site: the layer chosen on half of the scenes, scored on the rest.

    Returns the mean over sites and both halves, and its resamplings over scenes.
    """
    rdms = {name: compare.rdm(values) for name, values in layers.items()}
    scores, drawn, chosen, null = [], [], [], []
    for choose, test in (folds, folds[::-1]):
        truth = upper(sites[np.ix_(range(len(sites)), choose, choose)])
        means = {
            name: compare_vectors(truth, upper(m[np.ix_(choose, choose)])[None], "spearman").mean()
            for name, m in rdms.items()
        }
        best = max(means, key=means.get)
        chosen.append(best)
        # Ranks of all pairs once; resampled pairs keep them.
        i, j = np.triu_indices(len(test), 1)
        truth = ranked(upper(sites[np.ix_(range(len(sites)), test, test)]), len(test))
        model = ranked(upper(rdms[best][np.ix_(test, test)])[None], len(test))
        scores.append(compare_vectors(truth[:, i, j], model[:, i, j], "corr")[:, 0])
        # The same scenes for every model: differences are paired.
        random = np.random.default_rng(SEED)
        draws, orders = [], []
        for _ in range(BOOTSTRAP):
            again = np.sort(random.integers(len(test), size=len(test)))
            k, m = again[i], again[j]
            k, m = k[k != m], m[k != m]
            draws.append(compare_vectors(truth[:, k, m], model[:, k, m], "corr").mean())
            order = random.permutation(len(test))
            turned = model[:, order[i], order[j]]
            orders.append(compare_vectors(truth[:, i, j], turned, "corr").mean())
        drawn.append(draws)
        null.append(orders)
    return np.mean(scores, 0), np.mean(drawn, 0), np.mean(null, 0), "; ".join(chosen)


def ranked(vectors, n):
    """Return RDMs of ranks, (number, scenes, scenes), from the pairs above the diagonal."""
    matrices = np.zeros((len(vectors), n, n))
    i, j = np.triu_indices(n, 1)
    matrices[:, i, j] = matrices[:, j, i] = ranks(vectors)
    return matrices


def standard(trials):
    """Z-score each neuron by its means over trials."""
    mean = trials.mean(axis=2)
    shift, scale = mean.mean(axis=1), mean.std(axis=1)
    return (trials - shift[:, None, None]) / scale[:, None, None]


def of_neurons(found, region, trials, images, said):
    """All measures of one region: the layer chosen on half of the neurons, scored on the rest."""
    choice = compare.choose_layer(trials, {k: flat(v) for k, v in found.items()}, seed=SEED)
    part, layer = trials[choice.rest], found[choice.layer]
    channels, positions = layer.mean([d for d in layer.dims if d in ("y", "x")]), flat(layer)
    maps = compare.rmse(
        part,
        channels.values,
        images=images,
        size=10,
        permutations=50,
        baselines={"shuffled": compare.matched_shuffle(channels.values, SEED)},
    )
    encoded = compare.regression(part, positions)
    line = {**said, "region": region, "layer": choice.layer, "n": len(part)}
    for name in ("score", "floor", "null", "constant", "pixels", "energy", "shuffled"):
        line[f"rmse_{name}"] = maps[name].mean()
    for name in ("score", "null", "ceiling"):
        line[f"r2_{name}"] = encoded[name].mean()
    for name, measure in (("rsa", compare.rsa), ("cka", compare.cka)):
        row = measure(part, positions, permutations=200, bootstrap=0).iloc[0]
        for column in ("score", "null", "p", "ceiling_low"):
            line[f"{name}_{column}"] = row[column]
    per_neuron = pandas.DataFrame(
        {
            **said,
            "neuron": choice.rest,
            "experiment": region,
            "layer": "chosen",
            "rmse": maps["score"],
            "r2": encoded["score"],
        }
    )
    return line, per_neuron


def main(data, out):
    """Compute what is not there yet, and write the tables."""
    out.mkdir(parents=True, exist_ok=True)
    scenes = np.load(data / "allen_scenes_118x31x31.npz")["scenes"]
    stored = np.load(data / "allen_site_similarity_21x119x119.npz")
    sites = 1 - stored["similarity"][:, :118, :118]
    recorded = np.load(data / "antolik2016_v1_validation.npz")
    regions = {
        k: (standard(recorded[f"trials{k}"].transpose(2, 1, 0)), recorded[f"images{k}"])
        for k in (1, 2, 3)
    }
    order = np.random.default_rng(SEED).permutation(118)
    folds = np.sort(order[:59]), np.sort(order[59:])
    pictures = [scenes / 255.0]
    for _, images in regions.values():
        low, high = images.min(), images.max()
        pictures.append((images - low) / (high - low))
    everything = np.concatenate(pictures).astype(np.float32)[:, None]

    def known():
        """Yield baselines as if they were models."""
        values = [baselines.pixels(p, 31) - baselines.pixels(p, 31).mean(0) for p in pictures]
        yield "pixels", values
        yield "oriented energy", [baselines.energy(p) for p in pictures]

    for name, values in known():
        if not (out / f"{name}.npz").exists():
            said = {"model": name, "front_end": "none", "weights": "none"}
            layers = [_layer(v) for v in values]
            save(out / f"{name}.npz", said, layers, sites, folds, regions)
            print(name, flush=True)
    for front in FRONT_ENDS:
        for name, make in models():
            path = out / f"{name}, {front}.npz"
            if path.exists():
                continue
            model = features.with_front_end(make(), front)
            found = features.extract(model, everything, batch_size=16)
            bounds = np.cumsum([0, *map(len, pictures)])
            layers = [
                {k: v.isel(stimulus=slice(a, b)) for k, v in found.items()}
                for a, b in itertools.pairwise(bounds)
            ]
            said = {"model": name, "front_end": front, "weights": found.attrs["weights"]}
            save(path, said, layers, sites, folds, regions)
            print(name, front, said["weights"], flush=True)
    report(out, stored)


def _layer(values):
    import xarray

    return {"all": xarray.DataArray(values, dims=("stimulus", "feature"))}


def save(path, said, layers, sites, folds, regions):
    """Score one model behind one front end and keep the numbers."""
    varying = {k: flat(v) for k, v in layers[0].items() if flat(v).std(1).min() > 1e-12}
    each, drawn, null, chosen = of_sites(varying, sites, folds)
    lines, neurons = [], []
    for (region, (trials, images)), found in zip(regions.items(), layers[1:], strict=True):
        line, per_neuron = of_neurons(found, region, trials, images, said)
        lines.append(line)
        neurons.append(per_neuron)
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        said=np.array([said["model"], said["front_end"], said["weights"], chosen]),
        each=each,
        drawn=drawn,
        null=null,
        lines=pandas.DataFrame(lines).to_json(),
        neurons=pandas.concat(neurons, ignore_index=True).to_json(),
    )
    part.rename(path)


def report(out, stored):
    """Write the tables of what was computed."""
    from io import StringIO

    found = {}
    names = ["pixels", "oriented energy"]
    names += [f"{n}, {f}" for n, _ in models() for f in FRONT_ENDS]
    for name in names:
        if (out / f"{name}.npz").exists():
            loaded = np.load(out / f"{name}.npz")
            model, front, weights, chosen = loaded["said"]
            found[str(model), str(front)] = {
                "weights": str(weights),
                "chosen": str(chosen),
                "each": loaded["each"],
                "drawn": loaded["drawn"],
                "null": loaded["null"],
                "lines": pandas.read_json(StringIO(str(loaded["lines"]))),
                "neurons": pandas.read_json(StringIO(str(loaded["neurons"]))),
            }
    rows = []
    for (model, front), one in found.items():
        line = {"model": model, "front_end": front, "weights": one["weights"]}
        line["layers"] = one["chosen"]
        line["score"] = one["each"].mean()
        line["low"], line["high"] = np.quantile(one["drawn"], [0.025, 0.975])
        line["null"] = one["null"].mean()
        line["p"] = (1 + (one["null"] >= line["score"]).sum()) / (1 + BOOTSTRAP)
        if front != "none":
            change = one["drawn"] - found[model, "none"]["drawn"]
            line["difference"] = line["score"] - found[model, "none"]["each"].mean()
            line["difference_low"], line["difference_high"] = np.quantile(change, [0.025, 0.975])
            line["difference_p"] = two_sided(change)
        for site, score in zip(stored["site"], one["each"], strict=True):
            line[str(site)] = score
        rows.append(line)
    table = pandas.DataFrame(rows)
    table.round(4).to_csv(out / "comparison_sites.csv", index=False)
    draw(out / "comparison_sites.png", table)
    lines = pandas.concat([one["lines"] for one in found.values()])
    lines.round(4).to_csv(out / "comparison_neurons.csv", index=False)
    write_markdown(out / "results.md", rows, found)


def draw(path, table):
    """Draw what NeuRN changes for each model."""
    changed = table[table["front_end"] == "neurn"]
    if changed.empty:
        return
    changed = changed.assign(metric="rsa", n=21, tested=True)
    changed["p_corrected"] = compare.benjamini_hochberg(changed["difference_p"])
    compare.plots.save(compare.plots.deltas(changed, "model"), path)


def write_markdown(path, rows, found):
    """Write both tables of the documentation."""
    text = [
        "| model | none | NeuRN | difference | Sobel, difference | null |",
        "|---|" + "---|" * 5,
    ]
    table = {(row["model"], row["front_end"]): row for row in rows}
    for model in dict.fromkeys(row["model"] for row in rows):
        plain = table[model, "none"]
        cells = [model, f"{plain['score']:.3f} [{plain['low']:.3f}, {plain['high']:.3f}]"]
        for front in ("neurn", "sobel"):
            row = table.get((model, front))
            if row is None:
                cells += ["", ""] if front == "neurn" else [""]
                continue
            change = f"{row['difference']:+.3f} [{row['difference_low']:+.3f}, "
            change += f"{row['difference_high']:+.3f}]"
            cells += [f"{row['score']:.3f}", change] if front == "neurn" else [change]
        text.append("| " + " | ".join([*cells, f"{plain['null']:.3f}"]) + " |")
    text += ["", "| model | RMSE | NeuRN | RSA | NeuRN | CKA | NeuRN | R² | NeuRN |"]
    text.append("|---|" + "---|" * 8)
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = [model]
        for value in ("rmse_score", "rsa_score", "cka_score", "r2_score"):
            for front in ("none", "neurn"):
                one = found.get((model, front))
                cells.append("" if one is None else f"{one['lines'][value].mean():.3f}")
        text.append("| " + " | ".join(cells) + " |")
    every = pandas.concat([one["lines"] for one in found.values()])
    text.append("")
    for name in [c for c in every if c.split("_")[0] in ("rmse", "rsa", "cka", "r2") and "_" in c]:
        part = every[every["front_end"] == "none"].groupby("region")[name].mean()
        text.append(f"- {name} by region: " + ", ".join(f"{v:.3f}" for v in part))
    changes = []
    for (model, front), one in found.items():
        if front == "none":
            continue
        for value in ("rmse", "r2"):
            pair = compare.paired(
                one["neurons"],
                found[model, "none"]["neurons"],
                None,
                value=value,
                correction="none",
            ).iloc[0]
            changes.append(
                f"| {model} | {front} | {value} | {pair['difference']:+.3f} "
                f"[{pair['difference_low']:+.3f}, {pair['difference_high']:+.3f}] | {pair['n']} |"
            )
    text += ["", "| model | front end | measure | difference | neurons |", "|---|---|---|---|---|"]
    path.write_text("\n".join([*text, *changes]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
