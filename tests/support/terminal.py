"""A terminal of a given width, in which commands are typed: what they write there, without colours and motions."""

import os
import pty
import re
import termios
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait

from forked import genzoo

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Screen:
    """What a command wrote to its terminal, and its exit code."""

    code: int
    raw: str

    @property
    def lines(self):
        """The lines without codes; those of a bar that is drawn again come again."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", _CODES.sub("", self.raw))]

    @property
    def colours(self):
        """The colours and weights that were set."""
        return set(re.findall(r"\x1b\[([0-9;]+)m", self.raw)) - {"0"}


def typed(folder, *words, columns, **environment):
    """Return the screen of a command that is typed into a terminal with so many columns."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (50, columns))
    surroundings = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    surroundings |= {"TERM": "xterm-256color"} | environment
    screen = os.ttyname(slave)
    process = genzoo(words, folder=folder, environment=surroundings, stdin=screen, stdout=screen, stderr=screen)
    written = b""
    while master in wait([master, process.sentinel]):
        written += os.read(master, 65536)
    os.close(slave)
    with suppress(OSError):  # Linux says so at the end
        while part := os.read(master, 65536):
            written += part
    os.close(master)
    process.join()
    return Screen(process.exitcode, written.decode())
