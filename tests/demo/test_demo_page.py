import base64
import re
from html.parser import HTMLParser

import pytest

from neurn.generalize.html import typeset

from .conftest import COMMAND

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collect what a reader and a browser would find."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def source(report):
    return report.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


@pytest.fixture(scope="module")
def words(page):
    return re.sub(r"\s+", " ", " ".join(page.words))


def test_every_element_is_closed(page):
    assert page.open == []


def test_nothing_is_loaded_from_elsewhere(page, source):
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
        assert not {"srcset", "background", "data", "poster"} & set(attributes)
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
        if "href" in attributes:
            assert tag == "a"
            assert attributes["href"].startswith("https://arxiv.org/abs/")
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_every_picture_is_whole_and_described(page, report):
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) == 8
    for picture in pictures:
        png = base64.b64decode(picture["src"].partition(",")[2], validate=True)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert png[-8:-4] == b"IEND"
        assert len(picture["alt"]) > 20
    assert len({picture["alt"] for picture in pictures}) == 8
    assert sum(tag == "figcaption" for tag, _ in page.elements) == 8
    chart = report.page.with_name("differences.png").read_bytes()
    assert base64.b64encode(chart).decode() in pictures[-1]["src"]


def test_it_fits_a_phone(page):
    views = [a["content"] for tag, a in page.elements if a.get("name") == "viewport"]
    assert views == ["width=device-width, initial-scale=1"]


def test_it_says_what_was_done(words, report):
    protocol = report.record["protocol"]
    for fact in (
        "60 training, 20 validation, 30 test images",
        "1,797 handwritten digits",
        f"{protocol['parameters']:,} weights",
        "learning rate 0.003",
        "batches of 50, 1 epoch, no augmentation",
        protocol["selection"],
        protocol["front_ends"]["neurn"],
        report.record["data"]["digits"]["sha256"],
        report.record["versions"]["torch"],
        "Quick run: 2 seeds, 1 epoch.",
    ):
        assert fact in words
    for domain in report.record["domains"]:
        assert domain["recipe"] in words


def test_findings_and_tables_are_those_of_the_results(words, report):
    plain = words.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")
    for finding in report.record["findings"]:
        assert finding["question"] in plain
        for answer in finding["answers"]:
            assert answer in plain
    for row in report.record["summary"]:
        sign = "+" if row["baseline"] else ""
        low, high = (f"{100 * row[key]:{sign}.1f}" for key in ("low", "high"))
        assert f"{100 * row['mean']:{sign}.1f} [{low}, {high}]" in plain


def test_decided_cells_are_marked(page, report):
    marks = [a["class"] for tag, a in page.elements if tag == "td" and a["class"]]
    decided = [
        "higher" if row["low"] > 0 else "lower"
        for row in report.record["summary"]
        if row["baseline"] and (row["low"] > 0 or row["high"] < 0)
    ]
    assert marks == decided


def test_outside_text_is_escaped(source, words):
    assert COMMAND in words
    assert "<b> &" not in source


def test_typesetting():
    assert typeset("on A-b (-1.0 [-2.0, +3.0])") == (
        "on A-b (&minus;1.0&nbsp;[&minus;2.0,&nbsp;+3.0])"
    )
    assert typeset("NeuRN - None") == "NeuRN &minus; None"
    assert typeset("a < b") == "a &lt; b"
