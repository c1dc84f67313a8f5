"""The command ``countermark``."""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Run the command line and exit: 0, 1 (``detect`` and ``selftest`` say no) or 2 (error)."""
    if any(importlib.util.find_spec(name) is None for name in ("typer", "rich")):
        print("countermark: the command line needs: pip install countermark[cli]", file=sys.stderr)
        sys.exit(2)
    from countermark.cli import app

    app()


if __name__ == "__main__":
    main()
