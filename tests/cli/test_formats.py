"""What earlier versions wrote is read and gone on with: fixtures of each format, in tests/fixtures/format-N.

Those of format 1 were made on 2026-11-23 by these commands, without the pictures:

    genzoo train ali --steps 4 --run run --set architecture.width=4 --set dataset.rows=64 --set dataset.held_out_rows=32
        --set training.batch_size=8 --set training.log_every=2 --set training.checkpoint_every=2
    genzoo note run "of format 1" --tag kept
    genzoo export run --out exported
    genzoo data prepare folder --source IMAGES --set dataset.size=8 --data data
"""

import json
import shutil
from pathlib import Path

import numpy
import pytest

import genzoo
from genzoo.storage import checkpoints, files
from genzoo.storage.run_folder import Run
from genzoo.storage.run_notes import RunNote
from genzoo_data.folder import Folder

FIXTURES = Path(__file__).parents[1] / "fixtures"
FORMATS = sorted(FIXTURES.glob("format-*"))


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def kept(request, tmp_path):
    """Return a copy of what a format's version wrote."""
    return Path(shutil.copytree(request.param, tmp_path / "kept"))


def test_this_format_has_fixtures():
    assert FORMATS[-1].name == f"format-{files.SCHEMA_VERSION}"


def test_a_run_of_every_format_is_read_looked_at_and_gone_on_with(say, kept):
    run = Run(kept / "run")
    assert (run.record.model, run.step, RunNote.of(run).text) == ("ali", 4, "of format 1")
    assert [entry["step"] for entry in run.read_log()] == [2, 4]
    assert {score["step"] for score in run.final_scores} == {4}
    assert say("verify", kept).code == 0
    assert genzoo.load(run.path).sample(3).shape == (3, 2)
    said = say("resume", run.path, "--steps", "5", "--quiet")
    assert said.code == 0, said.err
    assert checkpoints.newest(run.checkpoints)[0].step == 5


def test_an_exported_model_of_every_format_gives_the_samples_of_its_run(kept):
    ours, given_away = (genzoo.load(kept / name).sample(3, seed=1) for name in ("run", "exported"))
    assert numpy.array_equal(ours.numpy(), given_away.numpy())


def test_a_prepared_data_set_of_every_format_is_read(kept):
    dataset = Folder(size=8)
    splits = dataset.load(kept / "data")
    assert [len(split.x) for split in splits] == [10, 1, 1]
    assert splits.train.x.shape[1:] == (3, 8, 8)
    assert sorted(dataset.file_names(kept / "data", "train"))[0] == "00.png"


@pytest.mark.parametrize(
    "name",
    [
        "run/run.json",
        "run/checkpoints/step-0000004/MANIFEST.json",
        "exported/MANIFEST.json",
        "data/folder-8-rgb/card.json",
    ],
)
def test_a_document_of_a_newer_format_says_which_genzoo_wrote_it_and_what_to_do(say, kept, name):
    document = json.loads((kept / name).read_bytes())
    made_with = document.get("versions", document)
    made_with["genzoo"] = "0.9.0"
    document["schema_version"] = files.SCHEMA_VERSION + 1
    (kept / name).write_text(json.dumps(document))
    said = say("verify", kept)
    assert said.code == 3
    assert "was written by genzoo 0.9.0, a newer one" in said.err
    for older in (kept / "run" / "checkpoints").glob("step-0000002"):
        shutil.rmtree(older)
    command = (
        ("data", "status", "--check", "--data", kept / "data")
        if "data/" in name
        else ("sample", kept / name.split("/")[0])
    )
    said = say(*command)
    assert "was written by genzoo 0.9.0, a newer one" in said.err + said.out
