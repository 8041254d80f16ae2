"""How long `genzoo --help` and `genzoo list` take, as whole processes, and whether torch was imported.

Run it with `python tests/benchmarks/startup.py`.
"""

import statistics
import subprocess
import sys
import time

_PROBE = """
import sys
from genzoo.cli import main
sys.argv = ["genzoo", *{arguments!r}]
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


def main():
    for arguments in (["--help"], ["--version"], ["list"], ["list", "--json"], ["train", "--help"]):
        seconds = []
        for _ in range(11):
            began = time.perf_counter()
            found = subprocess.run(
                [sys.executable, "-c", _PROBE.format(arguments=arguments)], capture_output=True, text=True, check=False
            )
            seconds.append(time.perf_counter() - began)
        imported = found.stderr.strip().splitlines()[-1]
        print(
            f"genzoo {' '.join(arguments)}: median {statistics.median(seconds):.3f} s "
            f"({min(seconds):.3f}–{max(seconds):.3f}, n = {len(seconds)}), torch imported: {imported}"
        )


if __name__ == "__main__":
    main()
