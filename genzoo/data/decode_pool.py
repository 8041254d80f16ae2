"""The pool of processes that decode blocks of images. Needs no torch."""

import ctypes
import os
import platform
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

from genzoo.data.decoding import Block
from genzoo.data.prepared_card import IMAGES
from genzoo.data.staging import BlockDone, Staging, map_rows
from genzoo.errors import ResourceError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_FREED_MEMORY_LIMIT = 2**25
"""Bytes of freed memory that a worker keeps."""


def read_blocks(staging: Staging, left: list[int], jobs: int) -> Iterator[BlockDone]:
    """Read the blocks numbered in `left` in up to `jobs` processes, and yield each when it is done, in any order."""
    path, offset, shape = staging.path / IMAGES, len(staging.header), staging.shape
    if jobs <= 1:
        for number in left:
            yield _read_block(path, offset, staging.starts[number], shape, number, staging.contents.blocks[number])
        return
    waiting = iter(left)
    with _safe_path(), _quiet_manager(), _workers(jobs) as pool:
        running: set[Future[BlockDone]] = set()
        while True:
            for number in waiting:
                block = staging.contents.blocks[number]
                running.add(_submit(pool, _read_block, path, offset, staging.starts[number], shape, number, block))
                if len(running) >= 3 * jobs:
                    break
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    others = set(active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_initialise_worker)
    try:
        yield pool
    except BrokenProcessPool as error:
        for child in set(active_children()) - others:  # the pool does not end a worker that it was just starting
            child.kill()
        raise ResourceError(
            "a decoding process was ended from outside, as when memory runs out; what is done is kept",
            "type the same command again, with --jobs 1 if it happens again",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _quiet_manager() -> Iterator[None]:
    """Show no traceback of the pool's own thread where it ends workers while another one is being started.

    Before Python 3.13 it iterates over them without the lock under which they are added. What it leaves to do is done
    by `_workers`.
    """
    former = threading.excepthook

    def show(error: threading.ExceptHookArgs) -> None:
        if error.exc_type is not RuntimeError or type(error.thread).__module__ != ProcessPoolExecutor.__module__:
            former(error)

    threading.excepthook = show
    try:
        yield
    finally:
        threading.excepthook = former


def _submit(pool: ProcessPoolExecutor, *work: Any) -> Future[BlockDone]:
    """Submit work with SIGINT blocked, so that a worker started here leaves Ctrl-C to the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(*work)
    except (OSError, ValueError) as error:  # a worker died, and the pool closed its pipes while it started another
        raise BrokenProcessPool(str(error)) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the current folder off the module path of all Python processes started inside."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _initialise_worker() -> None:
    """Set up a worker: ignore Ctrl-C, end with the parent, and keep freed memory for the next image.

    By default glibc returns large blocks to the system and asks for them again, page by page, for every image.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _FREED_MEMORY_LIMIT)
        libc.mallopt(_M_MMAP_THRESHOLD, _FREED_MEMORY_LIMIT)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _read_block(path: Path, offset: int, start: int, shape: tuple[int, ...], number: int, block: Block) -> BlockDone:
    return BlockDone(number, block.read(map_rows(path, offset, start, (block.rows, *shape))))
