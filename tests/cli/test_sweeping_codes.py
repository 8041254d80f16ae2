"""`genzoo sample --sweep-code`: a grid whose columns differ in the part of z that the prior names."""

import numpy
from toy import TOY

SETTINGS = TOY | {"prior": "categorical-normal", "prior.categories": 3, "architecture.latent": 5}


def test_a_part_of_z_is_swept_by_its_name(say):
    sets = [f"--set={path}={value}" for path, value in SETTINGS.items()]
    assert say("train", "gan", "--recipe", "mixture25", "--run", "run", "--quiet", *sets).code == 0
    shown = say("sample", "run", "--sweep-code", "category", "-n", 2, "--out", "grid.npy", "--json")
    assert shown.document["column_names"] == ["0", "1", "2"]
    assert numpy.load("grid.npy").shape == (2, 3, 2)
    assert say("sample", "run", "--sweep-code", "colour").code == 2
    assert say("sample", "run", "--sweep-code", "category", "--condition", "class=1").code == 2
