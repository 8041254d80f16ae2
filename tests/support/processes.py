"""Commands in processes of their own."""

import os
import subprocess
import sys
import time


def python_path(*folders):
    """Return what PYTHONPATH is for a process that finds modules in `folders` first, then where this one does."""
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


def python(script, *arguments, **environment):
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def wait_for(condition, *, process=None, seconds=300):
    """Return once the condition holds; fail after some seconds, or if the process ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.005)


WITHOUT_TORCH = """
import sys
from genzoo.cli import main
try:
    main()
finally:
    heavy = [name for name in ("torch", "torchvision", "matplotlib", "numpy") if name in sys.modules]
    print("heavy:", *heavy, file=sys.stderr)
"""
