import importlib.abc
import importlib.util
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from neurn import align, arch, cli
from tests.align.reference import costs

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)

VGG_AND_MORE = ["VGG11", "VGG16", "VGG19", "ResNet50"]

# Letters of each published architecture, in the order of the figure.
LENGTHS = [
    *[70, 123, 108, 210, 312, 107, 209, 311, 51, 193, 453, 21, 24, 29, 243, 339, 403, 237, 321],
    *[125, 179, 179, 179, 179, 179, 179, 179, 57, 151, 126, 140, 193, 52, 124, 253, 126, 59, 202],
    *[226, 245, 238, 272, 111, 60],
]


@pytest.fixture(scope="module")
def heatmap():
    return arch.similarity("published", "published", oddities=True)


@pytest.fixture(scope="module")
def small():
    return arch.similarity(["VGG16", "VGG19", "VGG11", "ResNet50", "ResNet101", "ViT-B"])


class TestPublished:
    def test_sequences(self):
        found = arch.zoo.published(oddities=True)
        assert [len(each) for each in found.values()] == LENGTHS
        assert str(found["VGG11"]) == "CRMCRMCRCRMCRCRMCRCRMALRDLRDL"
        own = arch.zoo.published()
        assert (
            len(own["EfficientNetB7"]) == 431 and own["EfficientNetB1"] == found["EfficientNetB7"]
        )

    def test_average_pools(self):
        # Nine letters V: seven of ResNeSt50, where three pools stand behind split attention and
        # four in shortcuts, that of the first stage, over single pixels, included.
        found = {name: str(each).count("V") for name, each in arch.zoo.published().items()}
        assert {name: count for name, count in found.items() if count} == {
            "ProxylessNAS": 1,
            "IBN-ResNet50": 1,
            "ResNeSt50": 7,
        }
        shown = arch.zoo.published(oddities=True).values()
        assert sum(map(len, shown)) == sum(LENGTHS) == 7777

    @pytest.mark.parametrize(
        ("a", "b", "score"),
        [("VGG16", "VGG11", -10), ("VGG16", "VGG19", 15), ("VGG19", "VGG11", -10)],
    )
    def test_panels(self, a, b, score):
        first, second = (str(arch.zoo.sequence(name, "published")) for name in (a, b))
        scoring = align.Scoring(1, -2, -2)
        matrix = align.score_matrix(first, second, scoring)
        cells = costs(first, second, scoring).cells()
        assert matrix.score == align.score(first, second) == score
        assert matrix.scores.tolist() == [
            [cells[i, j][0] for j in range(len(second) + 1)] for i in range(len(first) + 1)
        ]
        assert matrix.arrows.tolist() == [
            [cells[i, j][1] for j in range(len(second) + 1)] for i in range(len(first) + 1)
        ]

    def test_correlation(self, heatmap):
        found = heatmap.correlation()
        place = heatmap.names.index
        assert np.array_equal(found, found.T) and np.array_equal(np.diag(found), np.ones(44))
        assert found[place("VGG16"), place("ResNet152")] < -0.8
        assert found[place("EfficientNetB1"), place("EfficientNetB7")] == pytest.approx(1)
        assert found[place("ResNet152"), place("DenseNet169")] == pytest.approx(1, abs=0.005)
        assert found.min() == pytest.approx(-0.89, abs=0.005)

    def test_correlation_is_pearson_s_of_reference_scores(self, heatmap):
        names = ["VGG16", "VGG19", "VGG11", "Xception", "SqueezeNet"]
        read = [heatmap.sequences[heatmap.names.index(name)] for name in names]
        scoring = align.Scoring(2, -1, -0.5)
        scores = [[float(costs(x.tokens, y.tokens, scoring).score()) for y in read] for x in read]
        found = arch.similarity(dict(zip(names, read, strict=True)), "published")
        assert found.scores.tolist() == scores
        np.testing.assert_allclose(found.correlation(), np.corrcoef(scores), atol=1e-12)

    def test_oddities_are_a_switch(self):
        own = arch.similarity("published", "published")
        found, place = own.correlation(), own.names.index
        assert found[place("EfficientNetB1"), place("EfficientNetB7")] < 0.9999
        with pytest.raises(ValueError, match="oddities belong to"):
            arch.similarity("published", "canonical", oddities=True)


class TestZoo:
    def test_names(self):
        assert len(arch.zoo.names("published")) == 44 and len(arch.zoo.names("current")) >= 60
        assert len(set(arch.zoo.names())) == len(arch.zoo.names())
        with pytest.raises(ValueError, match="which must be"):
            arch.zoo.names("some")
        for name in arch.zoo.names():
            assert len(arch.zoo.sequence(name)) > 10 and arch.zoo.provenance(name)["package"]

    def test_works_without_any_package(self):
        blocked = "torchvision timm keras transformers onnx scipy pandas matplotlib pytorchcv"
        code = (
            f"import sys; sys.modules.update(dict.fromkeys({blocked.split()!r}))\n"
            "from neurn import arch\n"
            "print(arch.similarity('all').shortlist(1))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("name", ["VGG11", "IBN-ResNet50", "torchvision/swin_t"])
    def test_build_gives_what_the_catalogue_holds(self, name, torchvision):
        model = arch.zoo.build(name)
        for vocabulary in ("published", "canonical", "fine"):
            expected = arch.zoo.sequence(name, vocabulary).tokens
            assert arch.sequence(model, vocabulary).tokens == expected

    @pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="keras is not installed")
    @pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is not None, reason="Keras has its own backend"
    )
    def test_keras_runs_on_torch_where_nothing_else_was_chosen(self):
        environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
        code = "from neurn import arch; print(len(arch.sequence(arch.zoo.build('MobileNet'))))"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) == len(arch.zoo.sequence("MobileNet"))

    @pytest.mark.parametrize("name", ["ProxylessNAS", "VGG16", "ViT-B", "torchvision/vgg13"])
    def test_a_missing_package_is_one_sentence(self, name, monkeypatch):
        package = arch.zoo.recipe(name).package
        for module in [*sys.modules]:
            if module.partition(".")[0] == package:
                monkeypatch.delitem(sys.modules, module)
        monkeypatch.setattr(sys, "meta_path", [Without(package), *sys.meta_path])
        with pytest.raises(ImportError, match=rf"^{package} is needed.*'neurn\[zoo\]'$"):
            arch.zoo.build(name)


class Without(importlib.abc.MetaPathFinder):
    """As if a package were not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class TestSimilarity:
    def test_index_is_the_aligner_s(self, small):
        expected = align.all_pairs(small.sequences, small.scoring, metric="similarity")
        np.testing.assert_allclose(small.index, expected, atol=1e-12)
        assert "6 architectures" in repr(small)

    def test_empty_sequences(self):
        found = arch.similarity({"a": [], "b": [], "c": ["Conv2d"]}).index
        assert found.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]

    def test_insert_is_as_if_it_had_been_there(self, small):
        whole = arch.similarity([*small.names, "U-Net"])
        grown = small.insert("U-Net", "U-Net")
        assert np.array_equal(grown.scores, whole.scores) and grown.names == whole.names
        with pytest.raises(ValueError, match="new one"):
            grown.insert("U-Net", "U-Net")

    def test_nearest_and_shortlist(self, small):
        assert small.nearest("VGG16", 1)[0][0] == "VGG19"
        assert len(small.nearest("VGG16")) == 5
        three = small.shortlist(3)
        assert three[:2] == small.shortlist(2) and len(set(three)) == 3
        assert set(small.shortlist(6)) == set(small.names)
        with pytest.raises(ValueError, match="from 1 to 6"):
            small.shortlist(7)
        with pytest.raises(ValueError, match="one of the set"):
            small.nearest("x")

    def test_clusters(self, small):
        pytest.importorskip("scipy", reason="scipy is not installed")
        clusters = small.cluster()
        assert ["VGG16", "VGG19", "VGG11"] in clusters.groups(3)
        assert sorted(clusters.order) == list(range(6))
        for call in (
            lambda: small.cluster("scores"),
            lambda: small.cluster(method="x"),
            lambda: clusters.groups(9),
            lambda: small.values("x"),
        ):
            with pytest.raises(ValueError, match="must be"):
                call()

    def test_frame(self, small):
        pytest.importorskip("pandas", reason="pandas is not installed")
        assert small.to_frame("scores").loc["VGG16", "VGG16"] == small.scores[0, 0]

    def test_errors_and_diversity(self):
        for arguments in ({"models": []}, {"models": ["VGG16"] * 2}, {"models": "VGG16"}):
            with pytest.raises(ValueError, match="models must"):
                arch.similarity(**arguments)
        with pytest.raises(ValueError, match="oddities belong"):
            arch.similarity(["VGG16"], oddities=True)
        assert arch.diversity([["Conv2d"], ["Conv2d"]]) == 0
        assert arch.diversity([["Conv2d"], ["Linear"]]) == 1
        three = [["Conv2d", "ReLU"], ["Conv2d"], ["Linear"]]
        pairs = 1 - arch.similarity(three).index[np.triu_indices(3, 1)]
        assert arch.diversity(three) == pytest.approx(pairs.mean(), abs=1e-12)
        with pytest.raises(ValueError, match="two models"):
            arch.diversity([["Conv2d"]])

    def test_linkage_is_scipy_s(self, small):
        hierarchy = pytest.importorskip("scipy.cluster.hierarchy", reason="scipy is not installed")
        distances = 1 - small.index[np.triu_indices(6, 1)]
        expected = hierarchy.linkage(distances, "complete", optimal_ordering=True)
        np.testing.assert_allclose(small.cluster(method="complete").linkage, expected)

    @needs_matplotlib
    def test_many_are_one_picture(self):
        from neurn.arch.plot import new_figure_axes

        found = arch.similarity({str(i): ["Conv2d"] * (i % 7 + 1) for i in range(250)})
        axes = found.plot(new_figure_axes(found, False), order="given")
        assert len(axes.images) == 1 and not axes.collections
        assert axes.get_ylim() == (250, 0) and axes.get_xlim() == (0, 250)
        np.testing.assert_array_equal(axes.images[0].get_array(), found.index)

    @needs_matplotlib
    def test_the_zoo_has_names(self):
        from neurn.arch.plot import new_figure_axes

        found = arch.similarity("all")
        axes = found.plot(new_figure_axes(found, False))
        assert [text.get_text() for text in axes.get_yticklabels()] == arch.zoo.names()

    @needs_matplotlib
    def test_plot(self, small):
        from neurn.arch.plot import new_figure_axes

        axes = small.plot(new_figure_axes(small, True), dendrogram=True, frame=("VGG16", "VGG19"))
        shown = [text.get_text() for text in axes.get_yticklabels()]
        assert sorted(shown) == sorted(small.names) and len(axes.patches) == 1
        for arguments in ({"order": "x"}, {"frame": ["x"]}, {"frame": ["VGG16", "ViT-B"]}):
            with pytest.raises(ValueError, match="must"):
                small.plot(new_figure_axes(small, False), **arguments)


class TestCommand:
    def run(self, *arguments):
        assert cli.main(["arch", *map(str, arguments)]) == 0

    def test_list_show_compare(self, capsys, tmp_path):
        self.run("list", "--which", "published")
        assert len(capsys.readouterr().out.splitlines()) == 44
        self.run("show", "VGG16")
        assert "13 conv" in capsys.readouterr().out
        self.run("show", "torch.nn:ReLU", "--json")
        assert '"token": "activation"' in capsys.readouterr().out
        self.run("show", "VGG11")
        assert re.search(
            r"^pool 2x2 /2 +MaxPool2d +1x64x112x112 +features.2$", capsys.readouterr().out, re.M
        )
        self.run("show", "VGG11", "--vocabulary", "fine")
        assert "\nmax pool2x2/2 " in capsys.readouterr().out
        self.run("show", "ResNet50", "--json")
        (tmp_path / "m.json").write_text(capsys.readouterr().out)
        self.run("compare", tmp_path / "m.json", "ResNet50", "--scoring", "graded")
        assert "similarity 1.00, 174 of 174" in capsys.readouterr().out
        self.run("matrix", "--models", "published", "--json")
        assert len(json.loads(capsys.readouterr().out)["names"]) == 44
        page = tmp_path / "a.html"
        self.run("compare", "VGG16", "VGG19", "--vocabulary", "published", "--html", page)
        assert "similarity 0.93" in capsys.readouterr().out and page.stat().st_size > 1000
        assert "stage 3: 3 vs 4 blocks" in page.read_text()
        self.run("compare", "VGG16", "VGG19", "--blocks", "--scoring", "graded")
        assert re.search("stage 4: 3 vs 4 blocks +block3_pool +differs", capsys.readouterr().out)
        self.run("compare", "VGG16", "VGG19", "VGG11")
        assert capsys.readouterr().out.startswith("name,VGG16,VGG19,VGG11\nVGG16,1.0,")

    def test_models_of_the_working_directory(self, tmp_path, monkeypatch, capsys):
        """`neurn` installed as a command does not look there by itself."""
        name = f"own_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text("from torch.nn import ReLU as make\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
        before = list(sys.path)
        self.run("show", f"{name}:make")
        assert "1 activation" in capsys.readouterr().out and sys.path == before

    @needs_matplotlib
    def test_pictures_of_two_and_three(self, tmp_path, capsys):
        letters = ("--vocabulary", "published")
        for count, names in ((2, ["VGG16", "VGG11"]), (3, ["VGG11", "VGG16", "VGG19"])):
            png, page = tmp_path / f"{count}.png", tmp_path / f"{count}.html"
            self.run("compare", *names, *letters, "--plot", png, "--html", page)
            assert png.read_bytes().startswith(b"\x89PNG") and "</html>" in page.read_text()
            assert capsys.readouterr().out
        assert "<svg" in page.read_text() and len(list(tmp_path.iterdir())) == 4

    @needs_matplotlib
    @pytest.mark.parametrize("suffix", ["csv", "parquet", "npz", "png", "html"])
    def test_matrix(self, suffix, tmp_path):
        if suffix == "parquet":
            pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        out = tmp_path / f"m.{suffix}"
        self.run("matrix", "--models", "VGG16", "VGG19", "--quiet", "--out", out)
        assert out.stat().st_size > 50

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["show", "VGG17"], "close to it"),
            (["show", "nowhere:x"], "cannot be imported"),
            (["show", "torch.nn:Linear"], "without arguments"),
            (["show", "m.pth"], "weights do not tell layers"),
            (["show", "lost.onnx"], "there is no file 'lost.onnx'"),
            (["compare", "VGG16"], "two models or more"),
            (["compare", "VGG16", "VGG16"], "twice"),
            (["matrix", "--out", "m.xyz"], "must end in"),
            (["compare", "VGG16", "VGG19", "--plot", "m.gif"], "must end in .png, .pdf, .svg"),
            (["compare", "VGG16", "VGG19", "VGG11", "--blocks"], "--blocks: is for two models"),
            (["compare", *VGG_AND_MORE, "--plot", "m.png"], "is for two or three models, got 4"),
            (["compare", *VGG_AND_MORE[1:], "--plot", "m.png"], "1 to 60 layers each"),
        ],
    )
    def test_wrong_usage(self, arguments, words, capsys):
        assert cli.main(["arch", *arguments]) == 2
        assert words in capsys.readouterr().err
