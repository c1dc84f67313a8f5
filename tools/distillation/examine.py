"""Tests every student that was taught so far, and keeps what each test said.

    python tools/distillation/examine.py MODELS_FOLDER TEXT_FOLDER \\
      [--work build/distillation] [--out docs/distillation/results.jsonl]

A student that is in the results already is tested again only with --anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.progress import track

from evidence import Inquiry, Said
from student import School
from study import students


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/distillation"))
    parser.add_argument("--out", type=Path, default=Path("docs/distillation/results.jsonl"))
    parser.add_argument("--anew", action="store_true")
    arguments = parser.parse_args()
    school = School(arguments.work, arguments.models, arguments.texts)
    inquiry = Inquiry(school)
    known: dict[str, str] = {}
    if arguments.out.exists() and not arguments.anew:
        for line in arguments.out.read_text().splitlines():
            known[json.loads(line)["name"]] = line
    lines = []
    for student in track([s for s in students() if school.path(s).exists()], transient=True):
        name = str(student)
        control = inquiry.control(student)
        if name not in known or json.loads(known[name])["control"] != str(control):
            about = Said.read(school, student).about
            tests = list(inquiry.examine(student))
            record = {"name": name, "control": str(control), **about, "tests": tests}
            known[name] = json.dumps(record, separators=(",", ":"))
        lines.append(known[name])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
