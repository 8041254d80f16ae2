"""Trains ALI on crops of two photographs, seed 0, and draws the README's pictures of it.

Type `python docs/make_photo_pictures.py`. Crops, prepared data and the run lie below the folder given as an argument,
by default `runs/photographs`; a run that is there already is not trained again. It takes about twelve minutes on an
idle CPU core.
"""

import sys
from pathlib import Path

from make_photo_crops import write_crops
from make_pictures import IMAGES, genzoo


def main(place: Path) -> None:
    """Write the crops and prepare them, train unless that is done, and draw both pictures."""
    crops, data, run = (str(place / name) for name in ("crops", "data", "ali"))
    write_crops(Path(crops))
    genzoo("data", "prepare", "folder32", "--source", crops, "--data", data)
    if not Path(run).exists():
        genzoo("train", "ali", "--recipe", "folder32", "--seed", "0", "--data", data, "--run", run)
    genzoo("sample", run, "-n", "36", "--out", str(IMAGES / "photographs-samples.png"))
    pairs = ("-n", "16", "--split", "test", "--data", data)
    genzoo("reconstruct", run, *pairs, "--out", str(IMAGES / "photographs-ali.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/photographs"))
