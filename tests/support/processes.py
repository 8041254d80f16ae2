"""Commands in processes of their own."""

import os
import subprocess
import sys


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
