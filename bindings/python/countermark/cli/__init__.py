"""The command line. One module for each command."""

from countermark.cli import (
    calibrate,
    demo,
    detect,
    generate,
    identify,
    import_key,
    keygen,
    profiles,
    report,
    selftest,
)
from countermark.cli.app import app

__all__ = [
    "app",
    "calibrate",
    "demo",
    "detect",
    "generate",
    "identify",
    "import_key",
    "keygen",
    "profiles",
    "report",
    "selftest",
]
