"""The command line. One module for each command."""

from countermark.cli import (
    accounts,
    calibrate,
    demo,
    detect,
    distill,
    generate,
    identify,
    import_key,
    keygen,
    learned_accounts,
    learning_plan,
    ledgers,
    profiles,
    report,
    screen,
    selftest,
    trace,
)
from countermark.cli.app import app

__all__ = [
    "accounts",
    "app",
    "calibrate",
    "demo",
    "detect",
    "distill",
    "generate",
    "identify",
    "import_key",
    "keygen",
    "learned_accounts",
    "learning_plan",
    "ledgers",
    "profiles",
    "report",
    "screen",
    "selftest",
    "trace",
]
