"""torchrun and its ranks, forked from a process that has imported torch and genzoo: a launch is then not ten seconds.

The agent is torch's own. It forks where it would start a process, so a rank imports nothing anew.
"""

import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from forked import be_in, forked

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""What the agent hears, and a rank hears for itself."""


class Launch:
    """torchrun with two ranks, used as `subprocess.Popen` is."""

    def __init__(self, *program):
        self._folder = TemporaryDirectory()
        self._ranks, self._out, self._err = (Path(self._folder.name) / name for name in ("ranks", "out", "err"))
        self._ranks.mkdir()
        arguments = ([*map(str, program)], self._ranks, self._out, self._err, dict(os.environ))
        self._process = forked(_launch, *arguments)
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    @property
    def ranks(self):
        """The ranks that have been forked, as text, by process id."""
        return {int(os.readlink(link)): link.name for link in self._ranks.iterdir()}

    def poll(self):
        return self._process.exitcode

    def kill(self):
        self._process.kill()

    def communicate(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("torchrun", timeout)
        return self._out.read_text(), self._err.read_text()


def _launch(program, ranks, out, err, environment):
    """Be torchrun."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    be_in(environment, (os.devnull, out, err))
    subprocess_handler.Popen = partial(_Rank, ranks)
    run.main(["--standalone", "--nproc-per-node=2", *program])


class _Rank:
    """A forked process in the place of one that is started with these arguments."""

    def __init__(self, ranks, *, args, env, stdout, stderr, start_new_session):
        assert (stdout, stderr, start_new_session) == (None, None, True)
        self.returncode = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be_python(args[1:], env)
        (ranks / env["RANK"]).symlink_to(str(self.pid))

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("rank", timeout)
            time.sleep(0.01)
        return self.returncode


def _be_python(words, environment):
    """Do what `python` does with these words, -u and then -m and a module or a file, and end."""
    code = 1
    try:
        os.setsid()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(environment)
        sys.stdout.reconfigure(write_through=True)
        (name, *arguments) = words[2:] if words[1] == "-m" else words[1:]
        sys.argv = [name, *arguments]
        if words[1] == "-m":
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(name).parent))
            runpy.run_path(name, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
