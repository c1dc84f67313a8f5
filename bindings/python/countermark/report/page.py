"""The self-contained HTML page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from countermark._core import Detection, Profile, __version__
from countermark.report.chart import evidence_chart
from countermark.report.exhibit import Exhibit
from countermark.report.segments import segments
from countermark.report.words import explain, headline, power_of_ten

_POWER = re.compile(r"\b10\^(-?\d+(?:\.\d+)?)")
_STEPS = (1.0, 2.0, 3.0, 5.0)

_MEANING = {
    "marked": (
        "The text, or enough of it, was sampled by a model that held this key, or was copied or "
        "stitched from such text, or comes from a model that learned from it.",
        "It does not say who passed the text on, which account asked for it, or that every part "
        "of it is the model's.",
    ),
    "not_marked_by_these_keys": (
        "None of the keys tried left its mark on enough of this text. A typical marked text of "
        "this length would in all likelihood have shown.",
        "It does not say that a person wrote it: another model, another key, heavy editing or "
        "sampling at temperature 0 leave no mark of these keys either.",
    ),
    "insufficient": (
        "Too few tokens could be scored to tell a marked text from an unmarked one at the rate "
        "asked for.",
        "It says nothing about where the text comes from.",
    ),
}


def render(
    title: str, exhibits: Sequence[Exhibit], profiles: Sequence[Profile], lead: str = ""
) -> str:
    """Return one HTML document, without scripts and without anything to load.

    ``lead`` is a plain paragraph below the title. The page holds the texts, and no secret.
    """
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    body = [f"<header><p class=brand>Countermark</p><h1>{escape(title)}</h1>"]
    if lead:
        body.append(f"<p class=lead>{escape(lead)}</p>")
    if len(exhibits) > 1:
        body.append(_overview(exhibits))
    body.append("</header>")
    body += [_section(exhibit, i, len(exhibits) > 1) for i, exhibit in enumerate(exhibits)]
    body.append(_profiles(profiles))
    body.append(f"<footer>Made by countermark {__version__}. No secret is on this page.</footer>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


def _overview(exhibits: Sequence[Exhibit]) -> str:
    rows = "".join(
        f'<tr><td><a href="#text-{i}">{escape(e.title)}</a></td>'
        f"<td class=n>{e.detection.scored:,}</td>"
        f"<td class=n>{_p(e.detection.log10_p)}</td><td>{_badge(e.detection)}</td></tr>"
        for i, e in enumerate(exhibits)
    )
    return (
        "<table><thead><tr><th>text<th class=n>tokens scored<th class=n>p-value<th>verdict</tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _section(exhibit: Exhibit, index: int, titled: bool) -> str:
    detection = exhibit.detection
    says, says_not = _MEANING[detection.verdict]
    heading = f"<h2>{escape(exhibit.title)}</h2>" if titled else ""
    points = "".join(f"<p>{_powers(escape(line))}</p>" for line in explain(detection))
    return (
        f'<section id="text-{index}">{heading}<div class="verdict {detection.verdict}">'
        f"<p>{_badge(detection)}</p>{points}</div>"
        f"<dl class=meaning><dt>What this says</dt><dd>{says}</dd>"
        f"<dt>What it does not</dt><dd>{says_not}</dd></dl>"
        f"<h3>The text</h3>{_legend(detection)}<div class=text>{_text(exhibit)}</div>"
        f"<h3>Evidence along the text</h3><figure>{evidence_chart(exhibit)}<figcaption>The "
        "p-value as if the text ended there. In a text without the mark the line stays near "
        f"the bottom.</figcaption></figure><h3>All tests made</h3>{_tests(detection)}</section>"
    )


def _text(exhibit: Exhibit) -> str:
    pieces = []
    for segment in segments(len(exhibit.text), exhibit.spans, exhibit.detection.token_scores):
        piece = exhibit.text[segment.begin : segment.end]
        if segment.score is None:
            pieces.append(escape(piece, quote=False))
            continue
        word = piece.lstrip() or piece
        tip = " + ".join(f"{score:.2f}" for score in segment.scores)
        pieces.append(
            f"{piece[: len(piece) - len(word)]}<b class=s{_step(segment.score)} "
            f'title="score {tip}">{escape(word, quote=False)}</b>'
        )
    return "".join(pieces)


def _step(score: float) -> int:
    return int(np.searchsorted(_STEPS, score, side="right"))


def _legend(detection: Detection) -> str:
    scores = detection.token_scores[~np.isnan(detection.token_scores)]
    counts = np.bincount(np.searchsorted(_STEPS, scores, side="right"), minlength=len(_STEPS) + 1)
    bounds = np.exp(-np.array([0.0, *_STEPS, np.inf]))
    expected = bounds[:-1] - bounds[1:]
    names = ["0-1", "1-2", "2-3", "3-5", "5 and more"]
    items = "".join(
        f"<li><b class=s{i}>{name}</b> {count / max(1, len(scores)):.0%} "
        f"<small>({share:.0%})</small></li>"
        for i, (name, count, share) in enumerate(zip(names, counts, expected, strict=True))
    )
    return (
        "<p class=hint>Each scored token is coloured by its score, which is 1 on average where "
        "there is no mark. Below: the share of the tokens here, and in brackets what is "
        "expected without the mark. Plain tokens are not scored: too little context, a context "
        f"that occurred before, or the start of a response, which is drawn freely.</p>"
        f"<ul class=legend>{items}</ul>"
    )


def _tests(detection: Detection) -> str:
    rows = "".join(
        f"<tr><td>{escape(r.profile)}</td><td class=n>{r.scored:,}</td>"
        f"<td class=n>{r.score / max(1, r.scored):.2f}</td><td class=n>{_p(r.log10_p)}</td>"
        f"<td class=n>{_p(r.log10_p_adjusted)}</td>"
        f"<td>{'whole response' if r.start == 'response' else 'anywhere in one'}</td></tr>"
        for r in detection.results
    )
    return (
        "<table><thead><tr><th>profile<th class=n>scored<th class=n>mean score<th class=n>p alone"
        "<th class=n>p after correction<th>text taken as</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        f"<p class=hint>{detection.tested} tested, Holm's correction over all of them. "
        f"Marked means p of at most {_p(detection.log10_threshold)}. "
        f"E-value of all: {_p(detection.log10_e)}.</p>"
    )


def _profiles(profiles: Sequence[Profile]) -> str:
    boxes = "".join(
        f"<details{' open' if len(profiles) <= 3 else ''}><summary>{escape(profile.id)}"
        f"</summary><dl class=profile>{_profile_rows(profile)}</dl></details>"
        for profile in profiles
    )
    return f"<section><h2>Profiles tried</h2>{boxes}</section>"


def _profile_rows(profile: Profile) -> str:
    rows = {
        "mark": profile.mark,
        "parameters": ", ".join(f"{k} {v}" for k, v in profile.parameters.items()),
        "tokenizer": "not said",
        "key": profile.key_id,
        "commitment": profile.commitment,
        "created": f"{profile.created} ({profile.status})",
    }
    if profile.tokenizer:
        t = profile.tokenizer
        rows["tokenizer"] = f"{t['name']}, {t['vocab_size']:,} tokens, {t['fingerprint']}"
    return "".join(f"<dt>{k}</dt><dd>{escape(str(v))}</dd>" for k, v in rows.items())


def _badge(detection: Detection) -> str:
    return f'<span class="badge {detection.verdict}">{escape(headline(detection))}</span>'


def _p(log10: float) -> str:
    return _powers(power_of_ten(log10))


def _powers(text: str) -> str:
    return _POWER.sub(lambda power: f"10<sup>{power[1].replace('-', '&minus;')}</sup>", text)
