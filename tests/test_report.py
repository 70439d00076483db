"""The report is one file that needs nothing else, tells the truth, and opens in a real browser."""

import html
import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.cli import main
from tinygrad_cnn.inspection.report import html_report, sections, write_report
from tinygrad_cnn.training import checkpoint
from tinygrad_cnn.training.evaluate import evaluate
from tinygrad_cnn.training.records import EpochRecord

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HISTORY = [EpochRecord(1, 10, 0.9, 0.5, 0.8, 0.6, True, 1.0), EpochRecord(2, 20, 0.4, 0.8, 0.5, 0.7, True, 2.0)]
SOURCE = "<script>alert(1)</script> & weights"


@pytest.fixture(scope="module")
def network():
    """One that knows some digits and confuses others."""
    model = models.build("digits", (1, 8, 8), rng=np.random.default_rng(0))
    adam = tg.optim.Adam(model.parameters(), 0.003)
    rng = np.random.default_rng(0)
    assert list(tg.train(model, tg.data.digits()[0][:600], epochs=2, batch_size=32, optimizer=adam, rng=rng))
    return model


@pytest.fixture(scope="module")
def test_set():
    return tg.data.digits()[1][:80]


@pytest.fixture(scope="module")
def page(network, test_set):
    return html_report(network, test_set, history=HISTORY, source=SOURCE)


class Reader(html.parser.HTMLParser):
    """Collects tags with their attributes and text, and refuses a page whose tags do not match."""

    void = frozenset({"meta", "link", "img"})

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_needs_nothing_from_elsewhere(page):
    reader = Reader(page)
    links = [a[k] for _, a in reader.tags for k in ("src", "href", "action", "srcset") if k in a]
    assert links and all(link.startswith("data:") for link in links)
    assert "http" not in page and "url(" not in page and "@import" not in page
    assert not [tag for tag, _ in reader.tags if tag == "script"]


def test_it_shows_everything_in_order(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[:3] == ["Layers", "Training", "Filters"]
    assert headings[-3:] == ["What is taken for what", "Mistakes", "Shifted and turned"]
    assert all(heading.startswith("Image ") for heading in headings[3:-3]) and len(headings) == 9


def test_every_picture_has_a_text_for_those_who_do_not_see_it(page):
    pictures = [a for tag, a in Reader(page).tags if tag == "img"]
    assert len(pictures) >= 15
    assert all(len(a["alt"]) > 10 for a in pictures)


def test_text_is_escaped(page):
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; weights" in page


def test_its_figures_are_those_of_the_evaluation(page, network, test_set):
    scored = evaluate(network, test_set)
    text = " ".join(Reader(page).texts)
    assert f"{scored.accuracy:.2%}" in text and f"{scored.loss:.4f}" in text
    assert f"{sum(p.size for p in network.parameters()):,}" in text
    for share in scored.per_class_accuracy:
        assert f"{share:.2%}" in text


def test_shifted_and_turned_images_are_evaluated(network, test_set):
    images, labels = test_set.take(slice(None))

    def share(*changed):
        right = [evaluate(network, tg.data.Dataset(np.rint(x * 16).astype(np.uint8), labels, full_scale=16)).accuracy
                 for x in changed]  # fmt: skip
        return f"{np.mean(right):.1%}"

    cells = re.findall(r"<td>(.*?)</td><td>(.*?)</td>", sections.robustness(network, test_set))
    assert ("as they are", share(images)) in cells
    moved = [tg.data.shifted(images, dy, dx) for dy, dx in ((2, 0), (-2, 0), (0, 2), (0, -2))]
    assert ("shifted by 2 px", share(*moved)) in cells
    assert [name for name, _ in cells][-1] == "turned by 45°"


def test_the_caller_chooses_the_images(network, test_set):
    page = html_report(network, test_set, images=[7])
    assert re.findall(r"<h2>Image (\d+)", page) == ["7"]
    assert "The weights came without a record of their training." in page
    with pytest.raises(ValueError, match="report: each of images must be below 80, got 80"):
        html_report(network, test_set, images=[80])


def test_a_network_without_convolutions_has_a_report_too(test_set):
    page = html_report(models.build("primer", (1, 8, 8), rng=np.random.default_rng(0)), test_set, images=[0])
    assert "This network has no convolutional layer." in page


def test_images_of_another_shape_are_refused(test_set):
    other = models.build("nielsen", (1, 28, 28), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"report: test must have images of shape \(1, 28, 28\), got \(1, 8, 8\)"):
        html_report(other, test_set)


def test_a_report_that_cannot_be_made_leaves_the_old_one(network, test_set, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="report: each of images must be at least 0, got -1"):
        write_report(path, network, test_set, images=[-1])
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"] and path.read_text() == "old"


def test_the_command_writes_the_report_of_a_trained_network(tmp_path, capsys):
    weights, output = str(tmp_path / "w.npz"), str(tmp_path / "out.html")
    assert main(["train", "--epochs", "1", "--progress", "none", "--save", weights]) == 0
    capsys.readouterr()
    assert len(checkpoint.history(weights)) == 1
    assert main(["report", weights, "--output", output, "--images", "3"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    page = Path(output).read_text("utf-8")
    assert "<h2>Image 3: class" in page and "Cost and accuracy, epoch by epoch" in page


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e30])
def test_a_network_whose_numbers_are_lost_has_a_report_too(weight, test_set):
    """Without a warning: in tests these are errors."""
    lost = models.build("digits", test_set.image_shape)
    for parameter in lost.parameters():
        parameter.data[...] = weight
    assert "<h2>Filters</h2>" in html_report(lost, test_set[:20], images=[0])


def test_a_name_that_is_no_text_is_written_escaped(network, test_set, tmp_path):
    write_report(tmp_path / "r.html", network, test_set, images=[], source="n\udcff.npz")
    assert r"n\udcff.npz" in (tmp_path / "r.html").read_text("utf-8")


# In a browser ---------------------------------------------------------------------------------------------------------


def browse(path, tmp_path, *flags):
    """Chromium's output after loading a file: (standard output, standard error)."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", *flags, path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True)
    return done.stdout, done.stderr


MEASURE = """<script>addEventListener('load', () => {
const root = document.documentElement;
const broken = [...document.images].filter(i => !i.complete || i.naturalWidth === 0).length;
const small = [...document.querySelectorAll('td, th, p, dd, figcaption')].filter(
    e => parseFloat(getComputedStyle(e).fontSize) < 12).length;
parent.document.documentElement.dataset.seen =
    [root.clientWidth, root.scrollWidth, document.images.length, broken, small].join(' ');
})</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [375, 1200])
def test_it_opens_in_a_browser_without_an_error_and_nothing_sticks_out(page, tmp_path, width):
    inside = html.escape(page.replace("</body>", MEASURE + "</body>"))
    path = tmp_path / "frame.html"  # a window narrower than 500 pixels is not to be had, a frame is
    frame = f'<!doctype html><iframe width="{width}" height="800" style="border:0" srcdoc="{inside}"></iframe>'
    path.write_text(frame, "utf-8")
    dom, log = browse(path, tmp_path, "--dump-dom", "--hide-scrollbars")
    assert "CONSOLE" not in log
    client, scroll, pictures, broken, small = map(int, re.search(r'data-seen="([\d ]+)"', dom)[1].split())
    assert (client, scroll) == (width, width), "the page is wider than the window"
    assert pictures >= 15 and broken == 0
    assert small == 0, "text smaller than 12 pixels"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_console_error_would_be_seen(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", "<script>nonsense()</script></body>"), "utf-8")
    _, log = browse(path, tmp_path, "--dump-dom")
    assert "CONSOLE" in log and "nonsense is not defined" in log
