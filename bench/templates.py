"""Templated text: what people and programs fill in rather than write."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

_NAMES = [
    "Ada",
    "Boris",
    "Chen",
    "Dilan",
    "Esra",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kira",
    "Lev",
    "Mara",
    "Nils",
    "Olga",
    "Piet",
]
_THINGS = [
    "invoice",
    "order",
    "parcel",
    "contract",
    "ticket",
    "report",
    "booking",
    "licence",
    "refund",
    "account",
]
_PLACES = [
    "Lyon",
    "Graz",
    "Turin",
    "Porto",
    "Gent",
    "Basel",
    "Bergen",
    "Riga",
    "Split",
    "Malmö",
    "Cork",
    "Brno",
]


def templated(folder: Path, count: int, seed: int) -> dict[str, list[str]]:
    """Return ``count`` documents of each kind; ``folder`` has source files with licence headers."""
    draw = random.Random(seed)
    makers: dict[str, Callable[[], str]] = {
        "mails": lambda: _mail(draw),
        "logs": lambda: _log(draw),
        "JSON": lambda: _json(draw),
        "generated code": lambda: _code(draw),
    }
    documents = {kind: [make() for _ in range(count)] for kind, make in makers.items()}
    documents["licence headers"] = _headers(folder, count, draw)
    return documents


def _mail(draw: random.Random) -> str:
    name, thing, number = draw.choice(_NAMES), draw.choice(_THINGS), draw.randrange(10**6)
    lines = [
        f"Dear {name},",
        f"thank you for your message about {thing} no. {number}. We have received your request "
        "and will get back to you within three working days.",
        draw.choice(
            [
                f"Our office in {draw.choice(_PLACES)} is looking after it.",
                "You do not need to do anything until then.",
                f"Please have the number {number} ready when you call us.",
            ]
        ),
        "If you have any questions in the meantime, please reply to this message or call our "
        "service line, Monday to Friday from 8 a.m. to 6 p.m.",
        f"Kind regards,\n{draw.choice(_NAMES)}\nCustomer service",
        "This message and any attachments are confidential and intended solely for the addressee. "
        "If you have received it in error, please notify the sender and delete it. Any "
        "unauthorised use, disclosure or copying of this message is prohibited.",
    ]
    return "\n\n".join(lines)


def _log(draw: random.Random) -> str:
    second = draw.randrange(80000)
    lines = []
    for _ in range(40):
        second += draw.randrange(4)
        clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        lines.append(
            f"2022-03-{draw.randrange(1, 29):02}T{clock}Z INFO worker-{draw.randrange(8)} "
            + draw.choice(
                [
                    f"request completed status=200 duration_ms={draw.randrange(900)}",
                    f"connection from 10.0.{draw.randrange(256)}.{draw.randrange(256)} accepted",
                    "cache miss, fetching from upstream",
                    f"job {draw.randrange(10**5)} finished successfully",
                ]
            )
        )
    return "\n".join(lines)


def _json(draw: random.Random) -> str:
    rows = [
        {
            "id": draw.randrange(10**6),
            "customer": {"name": draw.choice(_NAMES), "city": draw.choice(_PLACES)},
            "item": draw.choice(_THINGS),
            "quantity": draw.randrange(1, 20),
            "price": {"amount": draw.randrange(10**4) / 100, "currency": "EUR"},
            "status": draw.choice(["open", "paid", "shipped"]),
        }
        for _ in range(12)
    ]
    return json.dumps({"version": 2, "orders": rows}, indent=2)


def _code(draw: random.Random) -> str:
    parts = []
    for _ in range(10):
        thing = draw.choice(_THINGS)
        parts.append(
            f"    public String get{thing.capitalize()}() {{\n"
            f"        return this.{thing};\n    }}\n\n"
            f"    public void set{thing.capitalize()}(String {thing}) {{\n"
            f"        this.{thing} = {thing};\n    }}\n"
        )
    name = draw.choice(_NAMES)
    return f"public class {name}Bean implements Serializable {{\n" + "\n".join(parts) + "}\n"


def _headers(folder: Path, count: int, draw: random.Random) -> list[str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    texts = [path.read_text(encoding="utf-8", errors="ignore")[:1500] for path in files]
    licensed = [text for text in texts if "opyright" in text[:600]]
    return [draw.choice(licensed) for _ in range(count)]
