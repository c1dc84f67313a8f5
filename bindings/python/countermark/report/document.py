"""One HTML document with its style in it, and nothing to load."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from countermark._core import __version__
from countermark.report.numbers import power_of_ten

_POWER = re.compile(r"\b10\^(-?\d+(?:\.\d+)?)")


def document(title: str, lead: Sequence[str], body: Iterable[str]) -> str:
    """Put ``body``, which is HTML, below a title and plain paragraphs."""
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    leads = "".join(f"<p class=lead>{escape(line)}</p>" for line in lead if line)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body>"
        f"<header><p class=brand>Countermark</p><h1>{escape(title)}</h1>{leads}</header>\n<main>"
        + "\n".join(body)
        + f"</main>\n<footer>Made by countermark {__version__}. No secret is on this page.</footer>"
        "</body></html>\n"
    )


def paragraphs(lines: Iterable[str]) -> str:
    """Turn plain lines into paragraphs. A p-value stays on one line."""
    return "".join(
        f"<p>{powers(escape(line)).replace('p = ', 'p&nbsp;=&nbsp;')}</p>" for line in lines
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of HTML cells. A column whose head begins with # holds numbers."""
    numeric = [name.startswith("#") for name in head]
    heads = "".join(
        f"<th scope=col{' class=n' if right else ''}>{name.removeprefix('#')}"
        for name, right in zip(head, numeric, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=n' if right else ''}>{cell}"
            for cell, right in zip(row, numeric, strict=True)
        )
        for row in rows
    )
    return f"<div class=scroll><table><thead><tr>{heads}<tbody>{lines}</table></div>"


def p_value(log10: float) -> str:
    """Write a p-value, or that there is none."""
    return "not decisive" if math.isnan(log10) else powers(power_of_ten(log10))


def powers(text: str) -> str:
    """Raise the exponents of powers of ten."""
    return _POWER.sub(lambda power: f"10<sup>{power[1].replace('-', '&minus;')}</sup>", text)
