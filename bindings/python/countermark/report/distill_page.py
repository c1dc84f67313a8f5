"""The self-contained HTML page about what a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from countermark.report.distill_case import Case, Inquiry
from countermark.report.distill_chart import distill_chart
from countermark.report.distill_words import (
    distill_headline,
    explain_distillation,
    warn_distillation,
)
from countermark.report.document import document, p_value, paragraphs, powers, table
from countermark.report.numbers import power_of_ten
from countermark.report.page import profile_boxes
from countermark.report.strip import decoy_strip, decoys_per_dot

_MOST_SHOWN = 600  # characters of a prompt or an answer

_MEANING = {
    True: (
        "The model was trained on text that this key marked, or on text that was copied from it.",
        "It does not say who did that, whether they knew, where they had the text from, or how "
        "much of it there was. A model that passes on answers of the marked service, or has them "
        "at hand when it is asked, shows the same without any training.",
    ),
    False: (
        "What the model said does not show that it was trained on text that this key marked.",
        "It does not say that it was not: few answers, a small share of the training data, heavy "
        "rewriting or further training on other text do not show.",
    ),
}

_LAY = [
    "Where the marked service answers, a secret key helps to decide, token by token, which of "
    "several likely ways to go on is taken. Without the key nothing of that shows, but a model "
    "that is trained on many answers takes over some of these preferences. The test counts how "
    "often the suspect goes on as the key would have it.",
    "A model that is independent of the key (which never saw such answers) can only agree with it "
    "by chance, and how often chance does so is known. The p-value is the probability "
    "that such a model shows this much or more, over the draw of the key. It is not the "
    "probability that the suspect is innocent, nor one minus that of guilt.",
    "The p-value holds whenever one stops. The test looks at numbers of positions that were fixed "
    "beforehand, and each look has a share of the error rate: that evidence was looked at as it "
    "came, and that asking ended when it sufficed, is paid for.",
]
_LAY_BY_KEY = (
    "Here the key decided what was looked at: only what the service had marked. The p-value is "
    "therefore 1 / e: the e-value is what a fair bet against the model's independence would have "
    "multiplied its stake by."
)
_LAY_LEARNED = (
    "Learned means: trained on text that this key marked, or on text copied from such text. "
    "Answers are published, quoted, shared and sold on; who put them into the training data is "
    "not in the numbers."
)


def render_distillation(title: str, case: Case) -> str:
    """Return one HTML document, without scripts and without anything to load.

    The page holds some of the prompts and answers, and no secret.
    """
    suspect = case.suspect
    body = [
        _verdict(case),
        f"<h2>Who was asked, and what</h2>{_facts(suspect)}",
        f"<h2>The evidence as it came</h2>{_chart(case)}",
        f"<h2>This key among others</h2>{_decoys(case)}" if len(suspect.result.decoys) else "",
        f"<h2>Controls</h2>{_controls(case)}" if case.controls else "",
        f"<h2>All looks</h2>{_looks(case)}" if suspect.result.looks else "",
        f"<h2>What the p-value means</h2>{_lay(case)}",
        f"<h2>Some of the answers</h2>{_exchanges(suspect)}" if suspect.exchanges else "",
    ]
    return document(title, [], [*body, profile_boxes([case.profile])])


def _verdict(case: Case) -> str:
    warning = warn_distillation(case)
    says, says_not = _MEANING[case.has_learned(case.suspect)]
    css = _css(case, case.suspect)
    return (
        (f"<div class=warning role=note>{paragraphs(warning)}</div>" if warning else "")
        + f'<div class="verdict {css}"><p>{_badge(case, case.suspect)}</p>'
        f"{paragraphs(explain_distillation(case))}</div>"
        f"<dl class=meaning><dt>What this says</dt><dd>{says}</dd>"
        f"<dt>What it does not</dt><dd>{says_not}</dd></dl>"
    )


def _facts(inquiry: Inquiry) -> str:
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in inquiry.facts.items()
    )
    return f"<dl class=profile>{rows}</dl>"


def _chart(case: Case) -> str:
    if not case.suspect.result.looks:
        return "<p class=hint>There was too little for a first look.</p>"
    controls = " Grey: the controls." if case.controls else ""
    return (
        f"<figure>{distill_chart(case)}<figcaption>The p-value, paid for all looks (up), by "
        "positions that count (across). Dots: the looks. Of a model that is independent of the "
        f"key the line stays near the bottom.{controls}</figcaption></figure>"
    )


@dataclass(frozen=True)
class _KeyAmongDecoys:
    """What a strip of decoys shows."""

    profile: str
    log10_p: float
    decoys: npt.NDArray[np.float64]
    rank: int


def _decoys(case: Case) -> str:
    result = case.suspect.result
    last = result.looks[-1].log10_p if result.looks else result.log10_p
    rank = _KeyAmongDecoys(case.profile.id, last, result.decoys, result.decoy_rank)
    each = decoys_per_dot(rank)
    dot = "a key" if each == 1 else f"up to {each:,} keys"
    ranks = (
        "The key decided what was looked at, so that there is no rank."
        if case.by_key
        else f"This key ranks {rank.rank:,} of {len(rank.decoys) + 1:,}."
    )
    return (
        f"<figure class=half>{decoy_strip(rank)}<figcaption>By p-value, not corrected for looking. "
        f"Each dot is {dot} that marked nothing, tested in the same way; this key is where its "
        f"last look had it. {ranks}</figcaption></figure>"
    )


def _controls(case: Case) -> str:
    rows = [
        [
            escape(inquiry.name),
            f"{inquiry.result.texts:,}",
            f"{inquiry.result.positions:,}",
            p_value(inquiry.result.log10_p),
            powers(power_of_ten(inquiry.result.log10_e)),
            _badge(case, inquiry),
        ]
        for inquiry in (case.suspect, *case.controls)
    ]
    return (
        table(["model", "#texts", "#positions", "#p-value", "#e-value", "verdict"], rows)
        + "<p class=hint>Models that are known not to have learned, tested in the same way.</p>"
    )


def _looks(case: Case) -> str:
    rows = [
        [
            f"{look.positions:,}",
            f"{look.scored:,}",
            p_value(look.log10_p),
            f"{look.share:.2%}",
            p_value(so_far),
            powers(power_of_ten(look.log10_e)),
        ]
        for look, (_, so_far) in zip(
            case.suspect.result.looks, case.curve(case.suspect), strict=True
        )
    ]
    heads = ["#positions", "#pairs scored", "#p of the look", "#share", "#p so far", "#e"]
    return (
        table(heads, rows)
        + "<p class=hint>Shares: each look has its part of the error rate, fixed beforehand. "
        "p so far is what a test that stops there may say.</p>"
    )


def _lay(case: Case) -> str:
    lines = [*_LAY, *([_LAY_BY_KEY] if case.by_key else []), _LAY_LEARNED]
    return f"<div class=prose>{paragraphs(lines)}</div>"


def _exchanges(inquiry: Inquiry) -> str:
    return "".join(
        f"<p class=hint>{escape(_shortened(asked)) or '(nothing)'}</p>"
        f"<div class=text>{escape(_shortened(said))}</div>"
        for asked, said in inquiry.exchanges
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + " ..."


def _css(case: Case, inquiry: Inquiry) -> str:
    return "learned" if case.has_learned(inquiry) else "not_shown"


def _badge(case: Case, inquiry: Inquiry) -> str:
    words = powers(escape(distill_headline(case, inquiry)))
    return f'<span class="badge {_css(case, inquiry)}">{words}</span>'
