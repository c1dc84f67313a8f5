"""The self-contained HTML page about texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from html import escape

from countermark._core import Detection, Profile
from countermark.report.chart import evidence_chart
from countermark.report.corrections import corrections
from countermark.report.document import document, p_value, paragraphs, table
from countermark.report.excerpt import MOST_TOKENS
from countermark.report.exhibit import Exhibit
from countermark.report.highlight import highlighted, legend, part_name, passage_of
from countermark.report.histogram import score_histogram
from countermark.report.numbers import count
from countermark.report.strip import decoy_strip, decoys_per_dot
from countermark.report.words import explain, explain_rank, headline, warn

_PARTS_LISTED = 50

_MEANING = {
    "marked": (
        "The text, or enough of it, was sampled by a model that held this key, or was copied or "
        "stitched from such text, or comes from a model that learned from it.",
        "It does not say who passed the text on, which account asked for it, or that every part "
        "of it is the model's.",
    ),
    "not_marked_by_these_keys": (
        "None of the keys tried left its mark on enough of this text. A typical marked text of "
        "this length would as likely as not have shown.",
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
    several = len(exhibits) > 1
    body = [_overview(exhibits)] if several else []
    body += [_section(exhibit, f"text-{i}", several) for i, exhibit in enumerate(exhibits)]
    return document(title, [lead], [*body, profile_boxes(profiles)])


def _overview(exhibits: Sequence[Exhibit]) -> str:
    rows = [
        [
            f'<a href="#text-{i}">{escape(e.title)}</a>',
            f"{e.detection.scored:,}",
            p_value(e.detection.log10_p),
            _badge(e.detection) + (", but see the warning there" if _warning(e) else ""),
        ]
        for i, e in enumerate(exhibits)
    ]
    return table(["text", "#tokens scored", "#p-value", "verdict"], rows)


def _section(exhibit: Exhibit, name: str, titled: bool) -> str:
    detection = exhibit.detection
    # Below the page's title, or below the text's.
    h = "h3" if titled else "h2"
    passage = passage_of(exhibit, name)
    text = highlighted(passage)
    listed = f"<{h}>Marked parts</{h}>{_parts(detection, name, text)}" if detection.regions else ""
    colours = legend(passage.scores, detection.best.profile, bool(detection.regions))
    shown = f"<{h}>The text</{h}>{colours}{text}{identity(exhibit.text, len(exhibit.spans))}"
    # Of a long text the list is the way to its parts.
    is_long = len(exhibit.spans) > MOST_TOKENS
    parts = [
        f"<h2>{escape(exhibit.title)}</h2>" if titled else "",
        _verdict(exhibit),
        *([listed, shown] if is_long else [shown, listed]),
        f"<{h}>Evidence along the text</{h}><figure>{evidence_chart(exhibit)}<figcaption>The "
        "p-value as if the text ended there, by tokens. In a text without the mark the line stays "
        "near the bottom."
        + (" Shaded: the marked parts." if detection.regions else "")
        + "</figcaption></figure>",
        f"<div class=pair><div>{_scores(detection, h)}</div><div>{_decoys(exhibit, h)}</div></div>",
        f"<{h}>All tests made</{h}>{corrections(detection)}",
    ]
    return f'<section id="{name}">{"".join(parts)}</section>'


def _verdict(exhibit: Exhibit) -> str:
    detection, rank = exhibit.detection, exhibit.decoys
    says, says_not = _MEANING[detection.verdict]
    points = explain(detection, exhibit.changes)
    warning = _warning(exhibit)
    if rank:
        points.append(explain_rank(rank))
    return (
        (f"<div class=warning role=note>{paragraphs(warning)}</div>" if warning else "")
        + f'<div class="verdict {detection.verdict}"><p>{_badge(detection)}</p>'
        f"{paragraphs(points)}</div>"
        f"<dl class=meaning><dt>What this says</dt><dd>{says}</dd>"
        f"<dt>What it does not</dt><dd>{says_not}</dd></dl>"
    )


def _warning(exhibit: Exhibit) -> list[str]:
    return warn(exhibit.detection, exhibit.decoys) if exhibit.decoys else []


def identity(text: str, tokens: int) -> str:
    """Say which text it was."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return (
        f"<p class=hint>{count(len(text), 'character')}, {count(tokens, 'token')}; "
        f"SHA-256 of the text in UTF-8: <code>{digest}</code></p>"
    )


def _parts(detection: Detection, name: str, text: str) -> str:
    numbered = list(enumerate(detection.regions, 1))
    strongest = sorted(numbered, key=lambda part: part[1].log10_p)[:_PARTS_LISTED]
    rows = []
    for i, region in sorted(strongest, key=lambda part: part[0]):
        begin, end = region.characters or (0, 0)
        anchor = part_name(name, i)
        rows.append(
            [
                f'<a href="#{anchor}">{i}</a>' if f'id="{anchor}"' in text else f"{i}",
                p_value(region.log10_p),
                escape(region.profile),
                f"{begin + 1:,} to {end:,}" if region.characters else "",
                f"{region.begin + 1:,} to {region.end:,}",
                f"{region.scored:,}",
                f"{region.score / max(1, region.scored):.2f}",
            ]
        )
    heads = ["part", "#p", "profile", "#characters", "#tokens", "#scored", "#mean score"]
    left_out = len(numbered) - len(rows)
    return (
        table(heads, rows)
        + "<p class=hint>"
        + (f"The {len(rows)} strongest of {len(numbered)}. " if left_out else "")
        + "p is that of the part's strongest window, corrected for every window, test, profile and "
        "form of the text that was tried: all parts hold together at the rate asked for. Where a "
        "part begins and ends is an estimate.</p>"
    )


def _scores(detection: Detection, h: str) -> str:
    if not detection.scored:
        return f"<{h}>Scores and chance</{h}><p class=hint>No token could be scored.</p>"
    return (
        f"<{h}>Scores and chance</{h}><figure>{score_histogram(detection)}<figcaption>Tokens by "
        "their score. The dots are what is expected without the mark; a marked text has fewer low "
        "scores and more high ones.</figcaption></figure>"
    )


def _decoys(exhibit: Exhibit, h: str) -> str:
    rank = exhibit.decoys
    if rank is None:
        return ""
    each = decoys_per_dot(rank)
    dot = "a key" if each == 1 else f"up to {each:,} keys"
    return (
        f"<{h}>This key among others</{h}><figure>{decoy_strip(rank)}<figcaption>"
        f"By p-value. Each dot is {dot} that marked nothing, tested in the same way. This key "
        f"ranks {rank.rank:,} of {len(rank.decoys) + 1:,}.</figcaption></figure>"
    )


def profile_boxes(profiles: Sequence[Profile]) -> str:
    """Say what is public of the profiles."""
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
        "commitment": profile.commitment or "none: an engine's key is short enough to be guessed",
        "created": f"{profile.created} ({profile.status})",
    }
    if profile.warning:
        rows["mark"] += f": {profile.warning}"
    if profile.tokenizer:
        t = profile.tokenizer
        rows["tokenizer"] = f"{t['name']}, {t['vocab_size']:,} tokens, {t['fingerprint']}"
    return "".join(f"<dt>{k}</dt><dd>{escape(str(v))}</dd>" for k, v in rows.items())


def _badge(detection: Detection) -> str:
    return f'<span class="badge {detection.verdict}">{escape(headline(detection))}</span>'
