"""The pages as a browser shows them."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm
from conftest import row, secret_of
from countermark import report
from countermark.reading import Reading, reading_of

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Put at the end of a copy of a page, which has no script itself. The copy is shown in a frame:
# windows have a least width.
_MEASURE = """<script>
const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] };
const texts = svg => [...svg.querySelectorAll('text')];
parent.postMessage(JSON.stringify({
  resources: performance.getEntriesByType('resource').map(r => r.name),
  width: innerWidth,
  page: document.documentElement.scrollWidth,
  outside: [...document.querySelectorAll('main *, header *')]
    .filter(e => !e.closest('.scroll, svg') && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.className + ' ' + e.textContent.slice(0, 80)),
  pictures: [...document.querySelectorAll('svg[role=img]')].map(svg => ({
    box: box(svg),
    font: texts(svg).map(t => parseFloat(getComputedStyle(t).fontSize) * svg.getScreenCTM().a),
    labels: texts(svg).map(t => [t.textContent, ...box(t)]),
  })),
}), '*');
</script></body>"""
_FRAME = """<!doctype html><body style="margin:0"><script>
onmessage = event => { document.body.innerHTML = '<pre>' + encodeURI(event.data) + '</pre>' };
</script><iframe src="measured.html" style="border:0;width:WIDTHpx;height:1000px"></iframe>"""


class Browser:
    """A browser without a window, a profile or a network."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def run(self, page: Path | None, *flags: str) -> subprocess.CompletedProcess[bytes]:
        command = [
            self._program,
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={self._folder / 'profile'}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            *flags,
            page.as_uri() if page else "about:blank",
        ]
        return subprocess.run(command, capture_output=True, timeout=60, check=False)

    def screenshot(self, page: Path, *flags: str) -> npt.NDArray[np.uint8]:
        """Return what a window shows, [height, width, 3]."""
        path = self._folder / "shot.png"
        path.unlink(missing_ok=True)
        self.run(page, "--window-size=640,480", f"--screenshot={path}", *flags)
        return pixels_of(path.read_bytes())

    def measure(self, page: Path, width: int) -> dict[str, Any]:
        """Return what _MEASURE finds in a frame of so many pixels."""
        text = page.read_text(encoding="utf-8")
        copy, frame = self._folder / "measured.html", self._folder / "frame.html"
        copy.write_text(text.replace("</body>", _MEASURE), encoding="utf-8")
        frame.write_text(_FRAME.replace("WIDTH", str(width)), encoding="utf-8")
        shown = self.run(frame, "--dump-dom", "--virtual-time-budget=5000")
        found = re.search(r"<pre>(.*?)</pre>", shown.stdout.decode())
        assert found, shown.stderr.decode()[-500:]
        measured: dict[str, Any] = json.loads(unquote(found[1]))
        return measured

    def printed(self, page: Path) -> tuple[int, list[bytes]]:
        """Return the number of pages of a PDF, and what is drawn on them."""
        path = self._folder / "page.pdf"
        path.unlink(missing_ok=True)
        self.run(page, "--no-pdf-header-footer", f"--print-to-pdf={path}")
        data = path.read_bytes()
        assert data.startswith(b"%PDF-")
        packed = re.findall(rb"stream\r?\n(\x78.*?)endstream", data, re.DOTALL)
        # What stands behind the data is the end of a line.
        streams = [zlib.decompressobj().decompress(stream) for stream in packed]
        drawn = [stream for stream in streams if stream.isascii() and b"BT" in stream]
        return len(re.findall(rb"/Type\s*/Page\b", data)), drawn


def pixels_of(png: bytes) -> npt.NDArray[np.uint8]:
    """Decode what browsers write: 8 bits a channel, not interlaced."""
    assert png.startswith(b"\x89PNG")
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    channels = {2: 3, 6: 4}[kind]
    assert depth == 8
    packed, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += length + 12
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, -1)
    above = np.zeros(width * channels, np.int64)
    rows = []
    for kind, line in zip(lines[:, 0], lines[:, 1:], strict=True):
        above = _unfilter(int(kind), line.astype(np.int64), above, channels)
        rows.append(above)
    return np.array(rows, np.uint8).reshape(height, width, channels)[:, :, :3]


def _unfilter(
    kind: int, line: npt.NDArray[np.int64], above: npt.NDArray[np.int64], step: int
) -> npt.NDArray[np.int64]:
    if kind == 0:
        return line
    if kind == 2:
        return (line + above) & 255
    if kind == 1:
        return np.asarray(np.cumsum(line.reshape(-1, step), axis=0).reshape(-1) & 255)
    out, up = [0] * step + line.tolist(), [0] * step + above.tolist()
    for i in range(step, len(out)):
        a, b, c = out[i - step], up[i], up[i - step]
        paeth = sorted((abs(x - (a + b - c)), order, x) for order, x in enumerate((a, b, c)))
        out[i] = (out[i] + ((a + b) // 2 if kind == 3 else paeth[0][2])) & 255
    return np.array(out[step:], np.int64)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"there is no browser: none of {', '.join(_NAMES)}")
    browser = Browser(program, tmp_path_factory.mktemp("browser"))
    try:
        shown = browser.run(None, "--dump-dom")
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{program} does not start: {error}")
    if b"<html>" not in shown.stdout:  # Ubuntu's stub, which asks for a snap
        words = (shown.stderr + shown.stdout).decode(errors="replace").split()
        pytest.skip(f"{program} does not start: {' '.join(words[-40:])}")
    return browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of every kind, by name."""
    folder = tmp_path_factory.mktemp("pages")
    ring = cm.KeyRing.generate()
    for i, profile in enumerate(("story-2025", "story-2024", "old", "older")):
        ring.import_secret(profile, secret_of(i + 1), free_prefix=0)
    detector = cm.Detector(ring)
    calibration = cm.Calibration.build(
        ring, "story-2025", [_noise(700, i) for i in range(300)], lengths=[50, 100, 200, 1600]
    )

    def exhibit(title: str, *pieces: npt.NDArray[np.int32]) -> report.Exhibit:
        return report.examine(title, _readings(*pieces), detector)

    marked = _marked(ring, "story-2025", 400)
    shown = {
        "marked": [exhibit("marked.txt", marked)],
        "unmarked": [exhibit("unmarked.txt", _noise(400))],
        "short": [exhibit("short.txt", _noise(12))],
        "parts": [
            exhibit(
                "parts.txt",
                _noise(300),
                marked[:80],
                _noise(300, 1),
                _marked(ring, "story-2024", 100),
                _noise(200, 2),
                marked[100:200],
            )
        ],
        "long": [exhibit("long.txt", _noise(120_000), marked, _noise(9_000, 1))],
    }
    shown["several"] = [shown["marked"][0], shown["unmarked"][0], shown["short"][0]]
    made = {
        name: report.render(f"Is it marked? {name}", exhibits, ring.profiles)
        for name, exhibits in shown.items()
    }
    made["calibration"] = report.render_calibration(calibration, ring.profiles[0])
    accounts = [2**64 - 1 - i for i in range(2000)]
    ring.import_secret("named", secret_of(5), accounts=True, free_prefix=0)
    tracer = cm.Tracer(ring, "named", accounts)
    theirs = [_marked(ring, "named", 300, account) for account in accounts[:3]]
    traced = {
        "account": _readings(theirs[0]),
        "accounts": _readings(_noise(200), theirs[0], _noise(200, 1), theirs[1], theirs[2]),
        "nobody": _readings(_noise(300)),
    }
    for name, readings in traced.items():
        found = report.examine_trace(f"{name}.txt", readings, tracer)
        made[name] = report.render_traces(f"Whose is it? {name}", [found], tracer.profile)
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


NAMES = ["marked", "unmarked", "short", "parts", "long", "several", "calibration"]
NAMES += ["account", "accounts", "nobody"]
LOOKED_AT = ["parts", "several", "calibration", "accounts"]
_WORDS = ["Once", "upon", "a", "time,", "there", "was", "little", "cat", "named", "Lily.", "She"]


def _noise(tokens: int, seed: int = 0) -> npt.NDArray[np.int32]:
    return np.random.default_rng(seed).integers(0, 10**6, tokens).astype(np.int32)


def _readings(*pieces: npt.NDArray[np.int32]) -> list[Reading]:
    ids = np.concatenate(pieces)
    words = [_WORDS[i % len(_WORDS)] for i in ids]
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    spans = [(int(e) - len(word), int(e)) for e, word in zip(ends, words, strict=True)]
    return [reading_of(" ".join(words), ids, spans)]


def _marked(
    ring: cm.KeyRing, profile: str, tokens: int, account: int | None = None
) -> npt.NDArray[np.int32]:
    sequence = cm.Sampler(ring, profile).sequence(account=account, seed=7)
    for step in range(tokens):
        sequence.sample(row(step))
    return sequence.tokens


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_nothing_to_load(pages: dict[str, Path], name: str) -> None:
    text = pages[name].read_text(encoding="utf-8")
    for forbidden in ("http", "<script", "<link", "@import", "url(", "src="):
        assert forbidden not in text, forbidden


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [390, 900])
def test_nothing_is_loaded_or_clipped_and_no_labels_overlap(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    found = browser.measure(pages[name], width)
    assert found["resources"] == []
    assert found["width"] == width
    assert found["page"] <= width
    assert found["outside"] == []
    assert found["pictures"]
    for picture in found["pictures"]:
        left, top, right, bottom = picture["box"]
        assert right - left > 200
        assert min(picture["font"]) > 8.5  # pixels of the screen
        labels = picture["labels"]
        for text, x1, y1, x2, y2 in labels:
            assert left - 1 <= x1 <= x2 <= right + 1, text
            assert top - 1 <= y1 <= y2 <= bottom + 1, text
        drawn = [label for label in labels if label[0]]
        for i, (text, x1, y1, x2, y2) in enumerate(drawn):
            for other, u1, v1, u2, v2 in drawn[:i]:
                # A line of text is higher than its letters.
                apart = x2 <= u1 or u2 <= x1 or y2 - 4 <= v1 or v2 <= y1 + 4
                assert apart, (text, other)


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_is_seen_in_the_light_and_in_the_dark(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    light = browser.screenshot(pages[name])
    dark = browser.screenshot(pages[name], "--force-dark-mode")
    assert light.shape == dark.shape == (480, 640, 3)
    for shown in (light, dark):
        ground = np.median(shown, axis=(0, 1))
        ink = np.abs(shown.astype(int) - ground).sum(2) > 200
        assert 0.005 < ink.mean() < 0.3
    assert np.median(light) > 240
    assert np.median(dark) < 40


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_is_printed(browser: Browser, pages: dict[str, Path], name: str) -> None:
    count, drawn = browser.printed(pages[name])
    assert 1 <= count <= 20
    assert sum(map(len, drawn)) > 10_000


def test_printing_opens_what_is_folded(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    text = pages["short"].read_text(encoding="utf-8")
    assert text.count("<details>") == 4
    bare, opened = tmp_path / "bare.html", tmp_path / "opened.html"
    bare.write_text(text.replace("<dl class=profile>", '<dl style="display:none">'))
    opened.write_text(text.replace("<details>", "<details open>"))
    folded, full, none = (
        sum(map(len, browser.printed(page)[1])) for page in (pages["short"], opened, bare)
    )
    assert none < 0.9 * full
    assert folded == pytest.approx(full, rel=0.02)
