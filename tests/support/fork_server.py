"""A process that has imported torch and genzoo, computes nothing itself, forks a child for every job, and kills some.

It reads one job a line on stdin and answers with one line on stdout. `Server` starts it and speaks to it.
"""

import builtins
import io
import json
import os
import pickle
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path

STEPS = 12
INTERVAL = 3
SMALL = {
    "model": "gan",
    "recipe": "mixture25-paper",
    "steps": 1000,
    "overrides": {
        "dataset.rows": 64,
        "dataset.held_out_rows": 32,
        "training.batch_size": 8,
        "training.log_every": 1,
        "training.checkpoint_every": INTERVAL,
    },
}
"""What a `session` trains: a child takes about a tenth of a second."""


class Server:
    """The server as a test sees it."""

    def __init__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        # Arrow, which scikit-learn imports where it is installed, would start a thread, and a fork would lose it.
        environment["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(
        self, call, *, kill_after=None, in_save=None, in_line=None, crash=None, journal=None, fault=None, **arguments
    ):
        """Have a child do `call`; return its exit code (-9: killed), seconds, lines that it told, and last words.

        It is killed `kill_after` seconds after its start, or after it tells a line that begins with `in_line`,
        `in_save` times; or it ends itself with code 9 before its disk operation of number `crash`. A `fault` has
        arguments of `Failing`.
        """
        line = "saving" if in_line is None else in_line
        job = {"call": call, "arguments": arguments, "kill_after": kill_after, "in_save": in_save, "line": line}
        self.process.stdin.write(
            json.dumps({**job, "crash": crash, "journal": journal, "fault": fault}, default=str) + "\n"
        )
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def race(self, call, jobs):
        """Have a child for each of `jobs`, all at once, do `call` with those arguments; return how each ended.

        Each finds in `others` a file that ends when at most one child is left.
        """
        usual = {"call": call, "crash": None, "journal": None, "fault": None}
        self.process.stdin.write(json.dumps([usual | {"arguments": job} for job in jobs], default=str) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
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


class Failing(Disk):
    """A disk whose operation of number `at` fails with `error`, and all later ones if it is `lasting`.

    Or it goes well, and the folder `remove` is removed before it. Nothing happens unless it is `armed`. What removes
    goes well, as it does on a full disk.
    """

    def __init__(self, tell, *, at, error=None, remove=None, lasting=False, armed=True):
        super().__init__(None, tell)
        self.at, self.error, self.remove, self.lasting, self.armed = at, error, remove, lasting, armed
        self.count = 0

    def note(self, kind, *operation):
        if not self.armed or kind in ("saved", "remove"):
            return
        self.count += 1
        if self.count - 1 == self.at or (self.lasting and self.count > self.at):
            self.tell(f"failing {kind} {Path(operation[0]).name}")
            if self.remove is None:
                raise OSError(self.error, os.strerror(self.error), operation[0])
            shutil.rmtree(self.remove)

    def install(self):
        super().install()
        create = os.open

        def low_open(path, flags, *arguments, **more):
            if flags & os.O_DIRECTORY:
                self.note("open", os.fsdecode(path))
            return create(path, flags, *arguments, **more)

        os.open = low_open
        os.supports_dir_fd.add(low_open)


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


def draw_nothing():
    """Write empty pictures of vectors: to draw them takes longer than so short a training."""
    from genzoo.evaluation import pictures
    from genzoo.storage import files

    pictures.save_panels = lambda path, panels: files.write(path, bytes(10000))


def narrow(width):
    """Give the hidden layers of the toy task's networks this width, so that a child computes and writes little."""
    from dataclasses import replace

    from genzoo_recipes import mixture25

    mixture25._HIDDEN, mixture25._MAXOUT = (replace(row, width=width) for row in (mixture25._HIDDEN, mixture25._MAXOUT))


def train(disk, *, run, model, recipe, overrides, then="train", track=None):
    """Train, or go on as a user would: resume what has a checkpoint, type the same command again for the rest."""
    import torch

    import genzoo
    from genzoo.runs.callbacks import Callback
    from genzoo.storage import checkpoints

    torch.set_num_threads(1)
    draw_nothing()
    real = checkpoints.save

    def save(*arguments, **more):
        disk.tell(f"saving {time.monotonic()}")
        done = real(*arguments, **more)
        disk.tell(f"done {time.monotonic()}")
        return done

    class Teller(Callback):
        def on_save(self, step):
            disk.note("saved", step)
            disk.tell(f"saved {step}")

    checkpoints.save = save
    if then == "resume" and checkpoints.steps(Path(run) / "checkpoints"):
        genzoo.resume(run, callback=Teller())
        return
    genzoo.train(model, recipe=recipe, steps=STEPS, overrides=overrides, run=run, track=track, callback=Teller())


def save(disk, *, folder, step, size):
    """Save one small checkpoint."""
    from genzoo.storage import checkpoints

    names = ("networks.safetensors", "optimizers.safetensors", "state.json")
    checkpoints.save(Path(folder), step=step, files=dict.fromkeys(names, bytes(size)), keep=2)


def method(disk, *, run, name, value):
    """Call a method of a run."""
    from genzoo.storage.record import RunRecord
    from genzoo.storage.run_folder import Run

    getattr(Run(Path(run)), name)(RunRecord.from_json(value) if name == "write_record" else value)


def save_for_ever(disk, *, folder, how, size):
    """Save the same state over and over, plainly in place or as genzoo does."""
    import torch

    from genzoo.storage import checkpoints
    from genzoo.storage.tensors import pack

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


def change(disk, *, commands=(), limit=None, user=None):
    """Do commands, let no file grow beyond `limit` bytes, become another user, have the disk fail from here on."""
    for words in commands:
        subprocess.run(words, check=True)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    disk.armed = True


def tell_end(disk, error=None):
    """Tell the exit code that an end would have, the finding and the remedy."""
    code, said = (0, ["", ""]) if error is None else (error.exit_code, [error.found, error.remedy or ""])
    disk.tell(f"ended {code} {json.dumps(said)}")


def failing_saves(disk, *, folders, step, size, remove=False):
    """Save one small checkpoint in each folder while a disk operation fails, the first in the first and so on.

    Or the folder above it is removed before that operation.
    """
    from genzoo.errors import GenzooError

    for disk.at, folder in enumerate(folders):
        disk.count, disk.armed = 0, True
        disk.remove = Path(folder).parent if remove else None
        try:
            save(disk, folder=folder, step=step, size=size)
        except GenzooError as error:
            tell_end(disk, error)
        else:
            tell_end(disk)
        disk.armed = False


def disturbed(disk, *, run, order, width=64, at=None, stop=None, drawn=False, **changes):
    """Begin a run or go on with it; `at` a step, 0 or "evaluation" comes a `change`; tell how it ended.

    It is asked to stop at the step `stop`. Pictures are empty unless they are to be `drawn`, which takes long. Networks
    are as wide as the paper's where `width` is None.
    """
    import torch

    import genzoo
    from genzoo.errors import GenzooError
    from genzoo.runs.callbacks import Callback
    from genzoo.storage.run_folder import Run

    torch.set_num_threads(1)
    if width is not None:
        narrow(width)

    class Teller(Callback):
        def on_start(self, run, step, steps):
            self.step = step

        def on_step(self, step):
            self.step = step
            if step == at:
                change(disk, **changes)

        def on_end(self):
            if at == "evaluation":
                change(disk, **changes)

        def on_save(self, step):
            disk.tell(f"saved {step}")

        def stop_signal(self):
            return signal.SIGTERM if self.step + 1 == stop else None  # asked before it is told of a step

    if not drawn:
        draw_nothing()
    if at == 0:
        change(disk, **changes)
    try:
        if Run(Path(run)).exists and Run(Path(run)).step:
            genzoo.resume(run, callback=Teller())
        else:
            genzoo.train(run=run, steps=STEPS, callback=Teller(), **order)
    except GenzooError as error:
        tell_end(disk, error)
    else:
        tell_end(disk)


def command(disk, *, words, folder, width=64, **changes):
    """Type a command in a folder after a `change`; tell its exit code and what it wrote on stderr."""
    from genzoo import cli

    narrow(width)
    os.chdir(folder)
    sys.argv = ["genzoo", *words]
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    change(disk, **changes)
    try:
        cli.main()
    except SystemExit as stop:
        disk.tell(f"exit {stop.code}")
    for line in sys.stderr.getvalue().splitlines():
        disk.tell(f"stderr {line}")


def session(
    disk,
    *,
    then,
    run=None,
    more=3,
    saves=(),
    after=0,
    limit=None,
    wrong=None,
    watch=False,
    others=None,
    patience=60,
    **order,
):
    """Take `more` steps of a small run and stop, as a user would; tell what happened and how long it took.

    It is asked to save after each of `saves` steps, and the `change` to a limit or a failing disk comes `after` steps.
    Before the first step it waits for `others` to end. `wrong` is a fault to have; to `watch` tells what it writes.
    """
    import warnings

    import torch

    import genzoo
    from genzoo.errors import GenzooError, GenzooWarning
    from genzoo.runs.callbacks import Callback
    from genzoo.storage import checkpoints

    torch.set_num_threads(1)
    narrow(8)
    if wrong is not None:
        WRONG[wrong]()
    if watch:
        disk.install()
    real = checkpoints.save

    def save(*arguments, **named):
        disk.tell("saving")
        return real(*arguments, **named)

    class Teller(Callback):
        taken = 0

        def on_start(self, run, step, steps):
            disk.tell(f"started {step} {run.path}")
            if others is not None:
                select.select([others], [], [], patience)

        def on_save(self, step):
            disk.tell(f"saved {step}")

        def stop_signal(self):
            self.taken += 1
            if self.taken == after:
                change(disk, limit=limit)
            return signal.SIGTERM if self.taken == more else None

        def wants_save(self):
            return self.taken in saves

    checkpoints.save = save
    warnings.simplefilter("always", GenzooWarning)
    warnings.showwarning = lambda message, *rest, **further: disk.tell(f"warning {message}")
    if after == 0:
        change(disk, limit=limit)
    began = time.monotonic()
    try:
        if then == "resume":
            genzoo.resume(run, callback=Teller())
        else:
            genzoo.train(run=run, callback=Teller(), **order)
    except GenzooError as error:
        disk.tell(f"took {time.monotonic() - began}")
        disk.tell(f"ended {error.exit_code} {json.dumps([error.found, error.remedy or ''])}")
    for kind, *paths in disk.journal if watch else ():
        disk.tell(f"wrote {kind} {paths[-1] if kind == 'replace' else paths[0]}")


def signalled(disk, *, folder, words, watched=(), signals=()):
    """Type a command in a process of its own and send it signals; tell all that happened, with times.

    Of a function in `watched`, such as genzoo.storage.checkpoints:save, it is told when it is entered and left.
    A signal is (function, times, seconds, number): it is sent so many seconds after that function was entered so many
    times, and without a function, after the signal before it. With no seconds it is there before the function begins.
    """
    told, tell_to = os.pipe()
    awaited, go_on = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        os.close(go_on)
        as_typed(folder, words, watched, tell_to, awaited)
    os.close(tell_to)
    os.close(awaited)
    text, answered, waiting, due = b"", 0, list(signals), None
    while True:
        if waiting and due is None:
            place, times, seconds, _ = waiting[0]
            if place is None or text.count(f"in {place} ".encode()) >= times:
                due = time.monotonic() + seconds
        if text.count(b"\nin ") > answered and (due is None or time.monotonic() < due):
            answered += 1
            with suppress(BrokenPipeError):  # the signal has ended it
                os.write(go_on, b"\n")
        elif not select.select([told], [], [], None if due is None else max(0, due - time.monotonic()))[0]:
            (*_, number), due, before = waiting.pop(0), None, time.monotonic()
            os.kill(pid, number)  # not yet reaped, so it is nobody else's number
            disk.tell(f"sent {number} {before} {time.monotonic()}")
        elif piece := os.read(told, 65536):
            text += piece
        else:
            break
    _, status = os.waitpid(pid, 0)
    disk.tell(f"ended {os.waitstatus_to_exitcode(status)} {time.monotonic()}{text.decode()}")


def as_typed(folder, words, watched, tell_to, awaited):
    """Be a process that a command was typed for in a folder, where it writes to out and err; signals are as usual."""
    from genzoo import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(300)
    os.chdir(folder)
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = ["genzoo", *words]

    def watch(function):
        module, _, name = function.partition(":")
        *holders, name = name.split(".")
        holder = import_module(module)
        for part in holders:
            holder = getattr(holder, part)
        real = getattr(holder, name)

        def followed(*arguments, **more):
            os.write(tell_to, f"\nin {function} {time.monotonic()}".encode())
            os.read(awaited, 1)
            done = real(*arguments, **more)
            os.write(tell_to, f"\nout {function} {time.monotonic()}".encode())
            return done

        setattr(holder, name, followed)

    code = 1
    try:
        for function in watched:
            watch(function)
        cli.main()
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


def session_modules(disk, **arguments):
    """Be a session, and tell what was imported for it."""
    session(disk, **arguments)
    disk.tell("modules " + " ".join(sys.modules))


# Faults that a session can be given, so that tests see whether they would be noticed.


def names_itself_late():
    """Say who holds a run a tenth of a second after holding it."""
    from genzoo.storage import files

    real = files.write_json

    def write_json(path, document):
        if path.name == "holder.json":
            time.sleep(0.1)
        real(path, document)

    files.write_json = write_json


def renames_first():
    """Give a checkpoint its name before its manifest is written."""
    from genzoo.storage import checkpoints
    from genzoo.storage.files import json_bytes, make_folder, storage, write_synced

    def save(folder, *, step, files, keep):
        stage, target = folder / ".tmp-wrong", folder / f"step-{step:07d}"
        with storage(target):
            make_folder(stage)
            for name, content in files.items():
                write_synced(stage / name, content)
            checkpoints._put_in_place(stage, target)
            write_synced(target / checkpoints.MANIFEST, json_bytes(checkpoints._manifest(step, files)))
        checkpoints.prune(folder, keep=keep)

    checkpoints.save = save


def saves_in_place():
    """Write a checkpoint where it is read."""
    from genzoo.storage import checkpoints
    from genzoo.storage.files import json_bytes, storage

    def save(folder, *, step, files, keep):
        target = folder / f"step-{step:07d}"
        manifest = {checkpoints.MANIFEST: json_bytes(checkpoints._manifest(step, files))}
        with storage(target):
            target.mkdir(parents=True, exist_ok=True)
            for name, content in (files | manifest).items():
                (target / name).write_bytes(content)
        checkpoints.prune(folder, keep=keep)

    checkpoints.save = save


def removes_first():
    """Remove the checkpoints from before, and then save."""
    from genzoo.storage import checkpoints

    real = checkpoints.save

    def save(folder, **more):
        shutil.rmtree(folder, ignore_errors=True)
        real(folder, **more)

    checkpoints.save = save


def reports_first():
    """Report a checkpoint as saved, and then save it."""
    from genzoo.runs.background_saver import BackgroundSaver

    real = BackgroundSaver.start

    def start(saver, step, save):
        saver.wait()
        on_save, saver._on_save = saver._on_save, lambda step: None
        on_save(step)
        real(saver, step, save)
        saver.wait()
        saver._on_save = on_save

    BackgroundSaver.start = start


def believes_every_file():
    """Take a checkpoint for whole by its manifest."""
    from genzoo.storage import checkpoints

    checkpoints._verify_file = lambda *arguments: None


def forgets_its_lock():
    """Write without holding the run."""
    from contextlib import nullcontext

    from genzoo.storage.run_folder import Run

    Run.hold = lambda run: nullcontext()


def keeps_its_log():
    """Leave in the log what will be made again."""
    from genzoo.storage.run_folder import Run

    Run.rewind_log = lambda run, step, **more: run.read_log()


def forgets_its_moments():
    """Go on with fresh optimizers."""
    from genzoo.training.trainer import Trainer

    real = Trainer.restore

    def restore(trainer, tensors, **more):
        fresh = {name: tensor * 0 for name, tensor in tensors["optimizers"].items()}
        real(trainer, {**tensors, "optimizers": fresh}, **more)

    Trainer.restore = restore


WRONG = {
    found.__name__: found
    for found in (
        names_itself_late,
        renames_first,
        saves_in_place,
        removes_first,
        reports_first,
        believes_every_file,
        forgets_its_lock,
        keeps_its_log,
        forgets_its_moments,
    )
}

CALLS = {
    found.__name__: found
    for found in (
        train,
        save,
        method,
        save_for_ever,
        modules,
        failing_saves,
        disturbed,
        command,
        session,
        session_modules,
        signalled,
    )
}


def child(job, tell_to):
    """Do a job and end."""
    code = 1
    try:

        def tell(line):
            os.write(tell_to, f"{line}\n".encode())

        disk = Failing(tell, **job["fault"]) if job["fault"] else Disk(job["crash"], tell)
        if job["crash"] is not None or job["journal"] or job["fault"]:
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


def race(jobs):
    """Fork a child for each job, let all go at once, and return how each ended."""
    gate, open_gate = os.pipe()
    others, end_others = os.pipe()
    children = {}
    for job in jobs:
        told, tell_to = os.pipe()
        pid = os.fork()
        if pid == 0:
            for descriptor in (open_gate, end_others, told, *children):
                os.close(descriptor)
            with open(os.devnull, "r+b") as nothing:
                for descriptor in (0, 1, 2):
                    os.dup2(nothing.fileno(), descriptor)
            os.read(gate, 1)
            job["arguments"]["others"] = others
            child(job, tell_to)
        os.close(tell_to)
        children[told] = pid
    began = time.monotonic()
    for descriptor in (gate, open_gate, others):
        os.close(descriptor)
    texts, ends, open_ended = dict.fromkeys(children, b""), {}, True
    while len(ends) < len(children):
        if open_ended and len(children) - len(ends) <= 1:
            os.close(end_others)
            open_ended = False
        for told in select.select([told for told in children if told not in ends], [], [])[0]:
            if piece := os.read(told, 65536):
                texts[told] += piece
                continue
            os.close(told)
            _, status = os.waitpid(children[told], 0)
            lines = texts[told].decode(errors="replace").splitlines()
            code, seconds = os.waitstatus_to_exitcode(status), time.monotonic() - began
            ends[told] = {"pid": children[told], "code": code, "seconds": seconds, "told": lines}
    return [ends[told] for told in children]


def main():
    """Import what children need, and do the jobs on stdin."""
    import torch
    from every_save import leave_no_save_out

    import genzoo  # noqa: F401 - children find it imported

    torch.set_num_threads(1)
    leave_no_save_out()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        out.write(json.dumps(race(job) if isinstance(job, list) else serve(job)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
