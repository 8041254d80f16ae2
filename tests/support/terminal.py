"""A terminal of a given width, in which commands are typed: what they write there, without colours and motions."""

import os
import pty
import re
import subprocess
import sys
import termios
from dataclasses import dataclass

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
    process = subprocess.Popen(
        [sys.executable, "-m", "genzoo", *map(str, words)],
        cwd=folder,
        env=surroundings | {"TERM": "xterm-256color"} | environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    written = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        written += part
    os.close(master)
    return Screen(process.wait(timeout=60), written.decode())
