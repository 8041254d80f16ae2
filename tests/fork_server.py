"""A process that has imported torch and genzoo, computes nothing itself, forks a child for every job, and kills some.

It reads one job a line on stdin and answers with one line on stdout. `Server` starts it and speaks to it.
"""

import builtins
import io
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

STEPS = 12
INTERVAL = 3


class Server:
    """The server as a test sees it."""

    def __init__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, call, *, kill_after=None, in_save=None, in_line=None, crash=None, journal=None, **arguments):
        """Have a child do `call`; return its exit code (-9: killed), seconds, lines that it told, and last words.

        It is killed `kill_after` seconds after its start, or after it tells a line that begins with `in_line`,
        `in_save` times; or it ends itself with code 9 before its disk operation of number `crash`.
        """
        line = "saving" if in_line is None else in_line
        job = {"call": call, "arguments": arguments, "kill_after": kill_after, "in_save": in_save, "line": line}
        self.process.stdin.write(json.dumps({**job, "crash": crash, "journal": journal}, default=str) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        """End the server."""
        self.process.stdin.close()
        self.process.wait()


class Disk:
    """Stands between Python and the disk: notes what changes it, and can end the process before any such operation.

    What a crash after an operation leaves is what one before the next operation does; a write counts as two halves.
    """

    def __init__(self, crash, tell):
        self.crash, self.tell, self.journal = crash, tell, []

    def note(self, *operation):
        if len(self.journal) == self.crash:
            os._exit(9)
        self.journal.append(operation)

    def install(self):
        real = {name: getattr(os, name) for name in ("open", "fsync", "replace", "mkdir", "unlink", "rmdir")}
        real_open = io.open

        def place(path, folder=None):
            if folder is not None:
                path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))
            return os.path.abspath(os.fsdecode(path))

        def patched_open(path, mode="r", *arguments, **more):
            if not set("wxa") & set(mode):
                return real_open(path, mode, *arguments, **more)
            self.note("truncate" if "w" in mode else "create", place(path))
            return Halves(real_open(path, mode, *arguments, **more), place(path), self)

        def low_open(path, flags, *arguments, **more):
            if flags & os.O_CREAT:
                self.note("truncate" if flags & os.O_TRUNC else "create", place(path))
            return real["open"](path, flags, *arguments, **more)

        def fsync(descriptor):
            self.note("sync", os.readlink(f"/proc/self/fd/{descriptor}"))
            real["fsync"](descriptor)

        def replace(source, target):
            self.note("replace", place(source), place(target))
            real["replace"](source, target)

        def mkdir(path, *arguments, **more):
            if not os.path.exists(path):  # where it exists, nothing changes
                self.note("mkdir", place(path))
            real["mkdir"](path, *arguments, **more)

        def removing(name):
            def remove(path, *, dir_fd=None):
                if os.path.lexists(place(path, dir_fd)):
                    self.note("remove", place(path, dir_fd))
                real[name](path, dir_fd=dir_fd)

            return remove

        io.open = builtins.open = patched_open
        os.open, os.fsync, os.replace, os.rename, os.mkdir = low_open, fsync, replace, replace, mkdir
        os.unlink, os.rmdir = removing("unlink"), removing("rmdir")
        for function in (os.open, os.unlink, os.rmdir):
            os.supports_dir_fd.add(function)


class Halves:
    """A file whose every write is two, so that a crash can come between them; nothing of them is buffered."""

    def __init__(self, file, path, disk):
        self.file, self.path, self.disk = file, path, disk

    def write(self, content):
        for part in (content[: len(content) // 2], content[len(content) // 2 :]):
            self.disk.note("write", self.path, part.encode() if isinstance(part, str) else bytes(part))
            self.file.write(part)
            self.file.flush()
        return len(content)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.file.close()


# What a child can be told to do; it tells its parent lines through `disk.tell`.


def train(disk, *, run, model, recipe, overrides, then="train"):
    """Train, or go on as a user would: resume what has a checkpoint, type the same command again for the rest."""
    import torch

    import genzoo
    from genzoo import checkpoints
    from genzoo.watcher import Watcher

    torch.set_num_threads(1)
    real = checkpoints.save

    def save(*arguments, **more):
        disk.tell(f"saving {time.monotonic()}")
        done = real(*arguments, **more)
        disk.tell(f"done {time.monotonic()}")
        return done

    class Teller(Watcher):
        def saved(self, step):
            disk.note("saved", step)
            disk.tell(f"saved {step}")

    checkpoints.save = save
    if then == "resume" and checkpoints.steps(Path(run) / "checkpoints"):
        genzoo.resume(run, watcher=Teller())
        return
    genzoo.train(model, recipe=recipe, steps=STEPS, overrides=overrides, run=run, watcher=Teller())


def save(disk, *, folder, step, size):
    """Save one small checkpoint."""
    from genzoo import checkpoints

    names = ("networks.safetensors", "optimizers.safetensors", "state.json")
    checkpoints.save(Path(folder), step=step, files=dict.fromkeys(names, bytes(size)), keep=2)


def method(disk, *, run, name, value):
    """Call a method of a run."""
    from genzoo.runs import Run

    getattr(Run(Path(run)), name)(value)


def save_for_ever(disk, *, folder, how, size):
    """Save the same state over and over, plainly in place or as genzoo does."""
    import torch

    from genzoo import checkpoints
    from genzoo.tensors import pack

    torch.set_num_threads(1)
    state = {f"{number}": torch.full((size // 16,), float(number)) for number in range(4)}
    step = 0
    while True:
        disk.tell(f"saving {time.monotonic()}")
        step += 1
        if how == "plain":
            torch.save(state, Path(folder) / "state.pt")
        else:
            names = ("networks.safetensors", "optimizers.safetensors")
            contents = dict(zip(names, (pack(state), b"none"), strict=True)) | {"state.json": b"{}"}
            checkpoints.save(Path(folder), step=step, files=contents, keep=2)
        disk.tell(f"saved {step}")


def modules(disk, **arguments):
    """Train, and tell what was imported for it."""
    train(disk, **arguments)
    disk.tell("modules " + " ".join(sys.modules))


CALLS = {found.__name__: found for found in (train, save, method, save_for_ever, modules)}


def child(job, tell_to):
    """Do a job and end."""
    code = 1
    try:
        disk = Disk(job["crash"], lambda line: os.write(tell_to, f"{line}\n".encode()))
        if job["crash"] is not None or job["journal"]:
            disk.install()
        CALLS[job["call"]](disk, **job["arguments"])
        if job["journal"]:
            Path(job["journal"]).write_bytes(pickle.dumps(disk.journal))
        code = 0
    except BaseException:
        os.write(tell_to, f"error {traceback.format_exc()[-1500:]!r}\n".encode())
    os._exit(code)


def serve(job):
    """Fork a child for the job, kill it if that is wanted, and return how it ended."""
    began = time.monotonic()
    told, tell_to = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        with open(os.devnull, "r+b") as nothing:
            for descriptor in (0, 1, 2):
                os.dup2(nothing.fileno(), descriptor)
        child(job, tell_to)
    os.close(tell_to)
    deadline = None if job["kill_after"] is None or job["in_save"] else began + job["kill_after"]
    text, awaited = b"", job["in_save"]
    while True:
        if awaited and text.count(b"\n" + job["line"].encode()) + text.startswith(job["line"].encode()) >= awaited:
            deadline, awaited = time.monotonic() + job["kill_after"], None
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([told], [], [], left)[0]:
            os.kill(pid, signal.SIGKILL)  # not yet reaped, so it is nobody else's number
            deadline = None
            continue
        if not (piece := os.read(told, 65536)):
            break
        text += piece
    os.close(told)
    _, status = os.waitpid(pid, 0)
    lines = text.decode(errors="replace").splitlines()
    if imported := [line for line in lines if line.startswith("modules ")]:
        for name in imported[0].split()[1:]:
            try:
                __import__(name)
            except ImportError:
                continue
        lines.remove(imported[0])
    return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began, "told": lines}


def main():
    """Import what children need, and do the jobs on stdin."""
    import torch

    import genzoo  # noqa: F401 - children find it imported

    torch.set_num_threads(1)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        out.write(json.dumps(serve(json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
