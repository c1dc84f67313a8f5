"""The command line. One module for each command."""

from countermark.cli import demo, detect, generate, keygen, profiles, selftest
from countermark.cli.app import app

__all__ = ["app", "demo", "detect", "generate", "keygen", "profiles", "selftest"]
