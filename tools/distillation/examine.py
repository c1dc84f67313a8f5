"""Tests every student that was taught so far, and keeps what each test said.

    python tools/distillation/examine.py MODELS_FOLDER TEXT_FOLDER \\
      [--work build/distillation] [--out docs/distillation/results.jsonl]

A student that is in the results already is tested again only with --anew.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.progress import track

from evidence import Inquiry, Said
from student import School, Student
from study import students


def examine(inquiry: Inquiry, student: Student) -> str:
    """Return what each test says, in a line."""
    record = {
        "name": str(student),
        "control": str(inquiry.control(student)),
        **Said.read(inquiry.school, student).about,
        "tests": list(inquiry.examine(student)),
    }
    return json.dumps(record, separators=(",", ":"))


def known(path: Path) -> Iterator[tuple[str, str]]:
    """Yield names and lines of the results so far."""
    for line in path.read_text().splitlines() if path.exists() else ():
        yield json.loads(line)["name"], line


def main() -> None:
    """Write the results, as they come."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/distillation"))
    parser.add_argument("--out", type=Path, default=Path("docs/distillation/results.jsonl"))
    parser.add_argument("--anew", action="store_true")
    arguments = parser.parse_args()
    school = School(arguments.work, arguments.models, arguments.texts)
    inquiry = Inquiry(school)
    taught = {str(student): student for student in students() if school.path(student).exists()}
    lines = {} if arguments.anew else dict(known(arguments.out))
    asked = [
        student
        for name, student in taught.items()
        if name not in lines or json.loads(lines[name])["control"] != str(inquiry.control(student))
    ]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(examine, inquiry, student): str(student) for student in asked}
        for done in track(as_completed(running), total=len(running), transient=True):
            lines[running[done]] = done.result()
            kept = [lines[name] for name in taught if name in lines]
            arguments.out.write_text("\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
