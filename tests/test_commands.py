"""The command line, as a user types it."""

import subprocess
import sys


def test_help_names_every_command():
    found = subprocess.run([sys.executable, "-m", "genzoo", "--help"], capture_output=True, text=True, check=True)
    for command in ("train", "resume", "sample", "reconstruct", "interpolate", "evaluate", "list", "show", "runs"):
        assert f"\n  {command}" in found.stdout
