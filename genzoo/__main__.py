"""`python -m genzoo` and the `genzoo` command."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; Ctrl-C during its import exits with 130, as at any other moment."""
    try:
        from genzoo import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
