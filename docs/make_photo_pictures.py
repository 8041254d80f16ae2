"""Trains ALI and ALICE on crops of two photographs, and draws the README's pictures of them.

Type `python docs/make_photo_pictures.py`. Crops, prepared data and runs lie below the folder given as an argument (by
default `runs/photographs`); a run that is there already is not trained again. It takes about twenty minutes on two
CPU cores.
"""

import sys
from pathlib import Path

from make_photo_crops import write_crops
from make_pictures import IMAGES, genzoo

PICTURES = (
    ("ali", ("sample", "-n", "32"), "photographs-samples.png"),
    ("alice", ("reconstruct", "-n", "16", "--split", "test"), "photographs-alice.png"),
)


def main(place: Path) -> None:
    """Write the crops and prepare them, train what is missing, and draw every picture."""
    write_crops(place / "crops")
    genzoo("data", "prepare", "folder32", "--source", str(place / "crops"), "--data", str(place / "data"))
    for model in ("ali", "alice"):
        if not (place / model).exists():
            run = ("--seed", "0", "--data", str(place / "data"), "--run", str(place / model))
            genzoo("train", model, "--recipe", "folder32", *run)
    for model, (command, *options), file in PICTURES:
        data = () if command == "sample" else ("--data", str(place / "data"))
        genzoo(command, str(place / model), *options, *data, "--out", str(IMAGES / file))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/photographs"))
