"""Trains the models that the README shows, with seed 0, and draws its pictures: `python docs/make_pictures.py`.

The runs lie below the folder given as an argument (by default `runs/readme`), with their scores; those that are there
already are not trained again. It takes about eight minutes on two CPU cores.
"""

import subprocess
import sys
from pathlib import Path

IMAGES = Path(__file__).with_name("images")
MODELS = {"mixture25": "ali", "digits-ali": "ali", "digits-alice": "alice"}
PICTURES = (
    ("mixture25", ("reconstruct",), "mixture25.png"),
    ("digits-ali", ("sample", "-n", "36"), "digits-samples.png"),
    ("digits-ali", ("reconstruct", "-n", "20", "--split", "test"), "digits-ali.png"),
    ("digits-alice", ("reconstruct", "-n", "20", "--split", "test"), "digits-alice.png"),
)


def genzoo(*arguments: str) -> None:
    """Run a command of genzoo, and end with its error if it fails."""
    subprocess.run([sys.executable, "-m", "genzoo", *arguments], check=True)


def main(runs: Path) -> None:
    """Train what is missing, and draw every picture."""
    for name, model in MODELS.items():
        genzoo("train", model, "--recipe", name.partition("-")[0], "--seed", "0", "--run", str(runs / name))
    for name, (command, *options), file in PICTURES:
        genzoo(command, str(runs / name), *options, "--out", str(IMAGES / file))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/readme"))
