"""Processes that are forked from one that has imported torch and genzoo, not started anew: that takes four seconds.

They are for tests of what a command does. Those of how one starts, and of what it imports, start it.
"""

import os
import runpy
import sys
from multiprocessing import get_context

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "torch.distributed.run",
        "torch._dynamo",
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "genzoo.cli.compare",
        "genzoo.cli.train",
        "genzoo.evaluation.pictures",
        "genzoo.runs.engine",
        "genzoo_ali.ali",
        "genzoo_gan.gan",
        "genzoo_metrics.density",
        "genzoo_metrics.latent",
        "genzoo_recipes.mixture25",
    ]
)


def forked(function, *arguments):
    """Return a process, as of `multiprocessing`, that calls a function with arguments."""
    process = _FORKS.Process(target=function, args=arguments)
    process.start()
    return process


def genzoo(words, *, folder, environment, stdin=os.devnull, stdout=os.devnull, stderr=os.devnull):
    """Return a process that is `python -m genzoo` with words, in a folder; its streams are files of these paths."""
    return forked(_be_genzoo, [*map(str, words)], folder, environment, (stdin, stdout, stderr))


def be_in(environment, streams):
    """Have this environment alone, and files of these paths for standard streams."""
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in enumerate(streams):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(descriptor, mode, closefd=False) for descriptor, mode in enumerate("rww")
    )


def _be_genzoo(words, folder, environment, streams):
    be_in(environment, streams)
    os.chdir(folder)
    sys.argv = ["genzoo", *words]
    runpy.run_module("genzoo", run_name="__main__", alter_sys=True)
