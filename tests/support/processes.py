"""Commands in processes of their own."""

import os
import subprocess
import sys


def python_path(*folders):
    """Return what PYTHONPATH is for a process that finds modules in `folders` first, then where this one does."""
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


def python(script, *arguments, **environment):
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


WITHOUT_TORCH = """
import sys
from genzoo.cli import main
try:
    main()
finally:
    heavy = [name for name in ("torch", "torchvision", "matplotlib", "numpy") if name in sys.modules]
    print("heavy:", *heavy, file=sys.stderr)
"""
