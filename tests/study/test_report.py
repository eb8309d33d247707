"""The report, as files and as a page in a browser."""

import csv
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from neurn import study
from neurn.study.report import make_report
from neurn.study.report.architectures import _block
from neurn.study.report.page import _table
from neurn.study.report.parts import Table
from neurn.study.store import Store

pandas = pytest.importorskip("pandas", reason="pandas is not installed")

# One process does them all: they look at one study.
pytestmark = pytest.mark.xdist_group("small study")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE = 390  # CSS pixels


class Page(HTMLParser):
    """What a page holds: attributes by tag."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.text = {}, set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.setdefault(tag, []).append(dict(attrs))
        if "id" in dict(attrs):
            assert dict(attrs)["id"] not in self.ids
            self.ids.add(dict(attrs)["id"])

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module", autouse=True)
def few_samples():
    """Intervals are tested where they are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurn.study.report.comparison._SAMPLES", 20)
        yield


@pytest.fixture(scope="module")
def page(small, few_samples):
    return make_report(small[1].folder, formats=("png",))


@pytest.fixture(scope="module")
def parsed(page):
    return Page(page.read_text(encoding="utf-8"))


def browse(page, *options):
    """Return the document after loading and what the browser had to say."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging"),
            *("--v=0", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000"),
            *("--allow-file-access-from-files", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_every_section_is_there(parsed):
    sections = [attrs["id"] for attrs in parsed.tags["section"]]
    assert sections == [
        *("steps", "data", "selection", "representations", "features"),
        *("comparison", "architectures", "provenance"),
    ]
    figures = [attrs["id"] for attrs in parsed.tags["h3"]]
    for name in (
        *("framework", "peaks", "reliability", "chosen_per_area", "chosen_per_genotype_group"),
        *("embedding_by_area", "embedding_by_genotype_group", "neural_representations"),
        *("features_and_representations", "rmse_per_area", "rmse_per_genotype_group"),
        *("rmse_with_and_without", "rmse_distributions", "single_units", "rsa_layers_lenet"),
        *("cka_layers_lenet", "regression_layers_lenet", "architectures_correlation"),
        *("architectures_zoom", "architectures_matrix", "architectures_nearest"),
    ):
        assert name in figures


def test_captions_say_what_is_shown(page):
    text = page.read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text, re.DOTALL)
    assert len(captions) > 20
    for caption in captions:
        words = re.sub("<[^>]+>|&[a-z]+;", " ", caption)
        assert "Simulated recordings: 16 neurons of 2 sessions" in words or re.search(
            r"4\s+architectures|[Ll]ayers of VGG1|The recordings are simulated|Simulated neurons",
            words,
        ), words
    assert text.count("random weights (seed 0)") > 5
    assert "The recordings in this report are simulated" in text
    assert "&lt;a&gt; &amp; b" in text


def test_the_published_pair_scores_as_published(page):
    assert "whole alignment, which scores 15." in page.read_text(encoding="utf-8")


def test_images_have_texts_and_links_lead_somewhere(page, parsed):
    assert len(parsed.tags["img"]) > 15
    for image in parsed.tags["img"]:
        assert len(image["alt"]) > 20
        assert image["src"].startswith("data:image/png;base64,")
    for link in parsed.tags["a"]:
        target = link["href"]
        if target.startswith("#"):
            assert target[1:] in parsed.ids
        elif not target.startswith("https://arxiv.org/abs/"):
            assert (page.parent / target).is_file(), target
    assert not {"script", "link", "iframe"} & set(parsed.tags)


def test_pictures_and_tables_are_written(page):
    assert len(list(page.parent.glob("figures/*.png"))) > 15
    for path in page.parent.glob("tables/*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        assert len(lines) > 1
        assert len({len(line) for line in lines}) == 1, path
    assert not list(page.parent.glob(".*.part"))


def test_numbers_of_a_column_have_as_many_decimals():
    frame = pandas.DataFrame(
        {
            "name": ["a", "b -1.5 [-2, -1]"],
            "score": [0.08391, -0.00002],
            "p": [1.0, 0.0196],
            "n": [1200, 3],
            "none": [math.nan, math.nan],
        }
    )
    text = _table(Table("t", "T", "c", frame))
    assert re.findall("<td>(.*?)</td>", text) == [
        *("0.0839", "1.000", "1,200", "&ndash;"),
        *("0.0000", "0.020", "3", "&ndash;"),
    ]
    assert "b &minus;1.5 [&minus;2,&nbsp;&minus;1]".replace(" [", "&nbsp;[") in text


def test_a_block_is_framed_where_its_names_stand_together():
    names = ["A", "VGG16", "VGG19", "VGG11", "B"]
    assert _block(names, ["VGG11", "VGG16", "VGG19"]) == ["VGG16", "VGG19", "VGG11"]
    assert _block(names, ["VGG11", "A"]) == []
    assert _block(names, ["VGG11", "C"]) == []


def test_a_second_report_is_the_same(page):
    before = page.read_bytes()
    make_report(page.parent, formats=("png",))
    assert page.read_bytes() == before


def test_it_renders_without_a_complaint(page):
    document, console = browse(page, "--dump-dom")
    assert console == []
    assert "<h1>A small study</h1>" in document


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_no_width_makes_the_page_scroll_sideways(page, tmp_path, width):
    probe = tmp_path / "probe.html"
    probe.write_text(
        f'<iframe id="f" src="{page.as_uri()}" style="width:{width}px;height:800px;border:0">'
        "</iframe><script>onload = () => {const d = document.getElementById('f').contentDocument;"
        "const small = [...d.querySelectorAll('p, li, figcaption, td')].map("
        "e => parseFloat(getComputedStyle(e).fontSize));"
        "const broken = [...d.images].filter(i => !i.complete || !i.naturalWidth).length;"
        "document.title = [d.documentElement.scrollWidth, d.documentElement.clientWidth, "
        "Math.min(...small), broken].join(' ')}</script>"
    )
    document, console = browse(probe, "--dump-dom", "--window-size=1400,900")
    assert console == []
    found = re.search(r"<title>(.*?)</title>", document)[1].split()
    scroll, client, least, broken = map(float, found)
    assert scroll <= client <= width
    assert least >= 13  # CSS pixels: readable without zooming
    assert broken == 0


def test_what_is_missing_is_said(small, tmp_path):
    store = Store(tmp_path)
    shutil.copytree(small[1].folder, tmp_path, dirs_exist_ok=True)
    about = store.read_study()
    for item in about["items"]:
        if item["stage"] == "compare":
            item["status"] = "failed"
    store.write_study(about)
    text = make_report(tmp_path, formats=("svg",)).read_text(encoding="utf-8")
    assert "This study is not complete: 5 of" in text
    assert 'id="comparison"' not in text
    pictures = {path.suffix for path in (tmp_path / "figures").iterdir()}
    assert pictures == {".svg"}
    assert 'href="figures/peaks.svg"' in text


def test_a_folder_without_a_study_and_other_formats_are_refused(tmp_path, small):
    with pytest.raises(study.StudyError, match="holds no study; neurn study run makes one"):
        make_report(tmp_path)
    with pytest.raises(study.StudyError, match="formats must be of png, svg, pdf, got 'gif'"):
        make_report(small[1].folder, formats=("gif",))
