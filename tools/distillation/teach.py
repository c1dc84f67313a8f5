"""Trains the students of the study and asks them.

    python tools/distillation/teach.py MODELS_FOLDER TEXT_FOLDER [--work build/distillation]

Takes hours; go on with the same command after a stop. Several at once share the work: each takes
one core.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from rich.progress import Progress, TaskID

from student import School
from study import students


def _tell(progress: Progress, task: TaskID, share: float) -> None:
    progress.update(task, completed=share)


def main() -> None:
    """Teach all students."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/distillation"))
    parser.add_argument("--every", type=int, default=1, help="take each n-th student")
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    arguments = parser.parse_args()
    school = School(arguments.work, arguments.models, arguments.texts)
    chosen = list(students())[arguments.first :: arguments.every]
    with Progress() as progress:
        everything = progress.add_task("students", total=len(chosen))
        for student in chosen:
            task = progress.add_task(str(student), total=1.0)
            school.teach(student, partial(_tell, progress, task))
            progress.remove_task(task)
            progress.advance(everything)
            progress.console.print(f"{student}")


if __name__ == "__main__":
    main()
