"""The self-contained HTML page about whose texts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from countermark._core import Profile, Trace, Tracer
from countermark._errors import CountermarkError
from countermark.reading import Reading, trace_reading
from countermark.report.crowd import Crowd, crowd_chart, crowd_of
from countermark.report.document import document, p_value, paragraphs, powers, table
from countermark.report.highlight import Part, Passage, highlighted, legend, part_name
from countermark.report.numbers import bound, power_of_ten
from countermark.report.page import identity, profile_boxes
from countermark.report.trace_words import (
    accounts_of,
    corrected_for_search,
    explain_trace,
    name_of_candidate,
    trace_headline,
)
from countermark.report.words import STATISTICS

if TYPE_CHECKING:
    from countermark._core import _Start
    from countermark.tokenizers import Span

_TONES = 4  # in style.css

_MEANING = {
    "account": (
        "The text, or each part named, was sampled for the account named with it, or copied or "
        "stitched from text that was. If a text owes nothing to any account's key, the probability "
        "that anyone is accused is at most the rate asked for, whoever wrote it.",
        "It does not say who passed the text on, or that the account's holder did. Innocent ways "
        "are many: an answer that was quoted or published, an account that is shared, resold or "
        "stolen. docs/accounts.md says what to look at before anyone acts on it.",
    ),
    "no_account": (
        "None of the accounts searched stands out, and a text of this length that had been "
        "sampled for one of them would as likely as not have shown it.",
        "It does not say that no account had a part in it: one that was not searched, heavy "
        "editing or sampling at temperature 0 do not show.",
    ),
    "insufficient": (
        "Too few tokens of the wide layer could be scored to tell one account from all others at "
        "the rate asked for.",
        "It speaks neither for nor against any account.",
    ),
}


@dataclass(frozen=True)
class TracedText:
    """A text, the characters that each of its tokens stands for, and whose it is."""

    title: str
    text: str
    spans: list[Span]
    trace: Trace
    crowd: Crowd | None
    """All accounts; None where no token is scored."""
    changes: dict[str, int] = field(default_factory=dict)
    """What was changed in the text's characters before it was traced."""


def examine_trace(
    title: str, readings: Sequence[Reading], tracer: Tracer, start: _Start | None = None
) -> TracedText:
    """Trace a text normalised, and count all accounts by what they score on it.

    ``readings`` is what :func:`countermark.reading.read` returns; the tokenizer must tell spans.
    """
    reading = readings[-1]
    if reading.spans is None:
        raise CountermarkError(
            "a page needs a tokenizer that says which characters a token stands for",
            "invalid_option",
        )
    trace = trace_reading(tracer, reading, start)
    return TracedText(
        title,
        readings[0].variant.text,
        reading.spans,
        trace,
        crowd_of(tracer, reading.ids, trace),
        reading.variant.changes,
    )


def render_traces(title: str, texts: Sequence[TracedText], profile: Profile) -> str:
    """Return one HTML document, without scripts and without anything to load.

    The page holds the texts and the ids of the accounts named, and no secret.
    """
    several = len(texts) > 1
    body = [_overview(texts)] if several else []
    body += [_section(text, f"text-{i}", several) for i, text in enumerate(texts)]
    return document(title, [], [*body, profile_boxes([profile])])


def _overview(texts: Sequence[TracedText]) -> str:
    rows = [
        [
            f'<a href="#text-{i}">{escape(t.title)}</a>',
            f"{t.trace.scored:,}",
            p_value(t.trace.log10_p),
            _badge(t.trace),
        ]
        for i, t in enumerate(texts)
    ]
    return table(["text", "#tokens scored", "#p-value", "verdict"], rows)


def _section(text: TracedText, name: str, titled: bool) -> str:
    trace = text.trace
    # Below the page's title, or below the text's.
    h = "h3" if titled else "h2"
    passage = Passage(text.text, text.spans, trace.token_scores, trace.regions, _parts(trace, name))
    shown = highlighted(passage)
    key = name_of_candidate(trace.candidates[0])
    says, says_not = _MEANING[trace.verdict]
    parts = [
        f"<h2>{escape(text.title)}</h2>" if titled else "",
        f'<div class="verdict {trace.verdict}"><p>{_badge(trace)}</p>'
        f"{paragraphs(explain_trace(trace, text.changes))}</div>",
        f"<dl class=meaning><dt>What this says</dt><dd>{says}</dd>"
        f"<dt>What it does not</dt><dd>{says_not}</dd></dl>",
        f"<{h}>All accounts</{h}>{_crowd(text)}",
        f"<{h}>The best of them</{h}>{_candidates(trace)}",
        f"<{h}>The text</{h}>{legend(passage.scores, key, bool(trace.regions))}"
        f"{shown}{identity(text.text, len(text.spans))}",
        f"<{h}>Parts of the text</{h}>{_regions(trace, name, shown)}" if trace.regions else "",
        f"<{h}>Tests and corrections</{h}>{_corrections(trace)}",
    ]
    return f'<section id="{name}">{"".join(parts)}</section>'


def _crowd(text: TracedText) -> str:
    if text.crowd is None:
        return "<p class=hint>No token of the wide layer could be scored.</p>"
    return (
        f"<figure>{crowd_chart(text.trace, text.crowd)}<figcaption>How many accounts (up) have "
        "which p-value over the whole text, alone (across). The line is what innocent accounts "
        "make: a tenth as many for each tenth of p. Dots: the best accounts. An account of which "
        "only a part of the text is need not stand out here.</figcaption></figure>"
    )


def _candidates(trace: Trace) -> str:
    rows = []
    for c in trace.candidates:
        cells = [
            "none" if c.account is None else str(c.account),
            f"{c.scored:,}",
            f"{c.score / max(1, c.scored):.2f}",
            "a whole response" if c.start == "response" else "from anywhere in one",
            p_value(c.log10_p),
            p_value(c.log10_p_adjusted),
            "accused" if c.is_accused else "",
        ]
        rows.append([f"<strong>{cell}</strong>" if c.is_accused else cell for cell in cells])
    heads = ["account", "#scored", "#mean score", "text taken as", "#p alone", "#p corrected"]
    return (
        table([*heads, "verdict"], rows)
        + "<p class=hint>By the whole text; p is corrected for the search. None: as if the text "
        "was sampled for no account.</p>"
    )


def _parts(trace: Trace, name: str) -> list[Part]:
    """Return the parts in the order of the text, an account's all in one tone."""
    return [
        Part(
            *region.characters,
            part_name(name, number),
            escape(f"account {region.account}, {bound(region.log10_p)}"),
            f"a{trace.accused.index(region.account) % _TONES}",
        )
        for number, region in enumerate(trace.regions, 1)
        if region.characters is not None
    ]


def _regions(trace: Trace, name: str, text: str) -> str:
    rows = []
    for i, region in enumerate(trace.regions, 1):
        begin, end = region.characters or (0, 0)
        account, anchor = str(region.account), part_name(name, i)
        rows.append(
            [
                f'<a href="#{anchor}">{account}</a>' if f'id="{anchor}"' in text else account,
                p_value(region.log10_p),
                powers(power_of_ten(region.log10_gap)),
                f"{begin + 1:,} to {end:,}" if region.characters else "",
                f"{region.begin + 1:,} to {region.end:,}",
                f"{region.scored:,}",
                f"{region.score / max(1, region.scored):.2f}",
            ]
        )
    heads = ["account", "#p", "#times below the next", "#characters", "#tokens"]
    return (
        table([*heads, "#scored", "#mean score"], rows)
        + "<p class=hint>p is that of the part's strongest window, corrected for every window, "
        "test and account that was tried. Where a part begins and ends is an estimate.</p>"
    )


def _corrections(trace: Trace) -> str:
    rows = [
        [
            STATISTICS[test.statistic],
            f"{test.share:.0%}",
            p_value(test.log10_p),
            p_value(corrected_for_search(trace, test)),
        ]
        for test in trace.tests
    ]
    return (
        table(["what was tested", "#share", "#p alone", "#p after correction"], rows)
        + "<div class=hint>"
        + paragraphs(
            [
                "Shares: each test has its part of the error rate, fixed before the text was seen; "
                "its p-value is divided by it.",
                f"Search: {accounts_of(trace)}, and no account: p-values count "
                f"{trace.tested:,} times (Bonferroni).",
                "An account is accused where the corrected p is at most "
                f"{power_of_ten(trace.log10_threshold)} and the next one stays far enough behind. "
                f"The e-value of the search is {power_of_ten(trace.log10_e)}.",
            ]
        )
        + "</div>"
    )


def _badge(trace: Trace) -> str:
    return f'<span class="badge {trace.verdict}">{powers(escape(trace_headline(trace)))}</span>'
