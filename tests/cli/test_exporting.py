"""Exported models: what a folder to give away holds, what takes it, and its programs."""

import shutil
from dataclasses import replace

import numpy
import pytest
import torch
from photographs import write_pngs
from safetensors.torch import load_file

import genzoo
from genzoo.evaluation import programs
from genzoo.runs import export_run
from genzoo.storage.scores import value_text

SHORT = {"training.steps": 2, "training.batch_size": 16}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def run(root):
    """Return a short run of images, with averaged weights."""
    return genzoo.train("ali", recipe="digits", overrides=SHORT, run=root / "ali").path


@pytest.fixture
def exported(run, tmp_path):
    export_run(run, tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_to_give_away_has_weights_settings_scores_pictures_and_a_card(say, run, tmp_path):
    said = say("export", run, "--out", "model", "--json").document
    assert (said["path"], said["programs"]) == ("model", [])
    names = ["MANIFEST.json", "README.md", "averaged.safetensors", "evaluation.json", "reconstructions.png"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [*names, "run.json", "samples.png"]
    stored = load_file(tmp_path / "model" / "averaged.safetensors")
    model = genzoo.load(run)
    assert stored.keys() == model.networks.state_dict().keys()
    assert all(torch.equal(stored[name], value) for name, value in model.networks.state_dict().items())
    card = (tmp_path / "model" / "README.md").read_text()
    assert "# ali on digits" in card
    assert "![Samples](samples.png)" in card
    for score in genzoo.Run(run).final_scores:
        assert f"| {score['metric']} | {value_text(score['value'])} | " in card


@pytest.mark.parametrize("name", ["", "averaged.safetensors", "run.json"])
def test_whatever_looks_at_a_run_takes_the_folder_and_any_file_in_it(say, run, exported, tmp_path, name):
    given = exported / name
    write_pngs(tmp_path / "photographs", 4, size=(8, 8), channels=1)
    for command in (
        ("sample", "-n", "4"),
        ("encode", "photographs"),
        ("reconstruct", "photographs"),
        ("interpolate", "photographs"),
        ("nearest", "photographs", "--among", "photographs"),
        ("decode", "codes.npy"),
    ):
        numpy.save("codes.npy", numpy.ones((2, 16), dtype=numpy.float32))
        first, *rest = command
        outs = []
        for folder, out in ((run, "a"), (given, "b")):
            ending = ".png" if first == "nearest" else ".npy"
            assert say(first, folder, *rest, "--out", out + ending).code == 0
            outs.append((tmp_path / (out + ending)).read_bytes())
        assert outs[0] == outs[1], first
    assert genzoo.load(given).step == genzoo.Run.at(given).step == 2
    assert say("sample", given).out == f"{exported / 'samples-2.png'}\n"
    assert say("show", given, "--json").document["model"] == "ali"
    assert "of training" not in say("show", given).out  # which no log tells
    scores = genzoo.evaluate(given, metrics=["reconstruction"], seed=5)
    assert scores == genzoo.evaluate(run, metrics=["reconstruction"], seed=5)


def test_it_names_no_folder_of_this_machine(run, exported, root, tmp_path):
    for path in exported.iterdir():
        content = path.read_bytes()
        assert not [place for place in (run, root, tmp_path) if str(place).encode() in content], path


@pytest.mark.parametrize("format", ["torch-export", "onnx"])
@pytest.mark.parametrize(("model", "recipe"), [("conditional-ali", "digits"), ("ali", "mixture25")])
def test_programs_give_the_models_numbers_for_any_number_of_rows(root, tmp_path, format, model, recipe):
    if format == "onnx":
        runtime = pytest.importorskip("onnxruntime")
    run = root / f"{model}-{recipe}"
    if not run.exists():
        genzoo.train(model, recipe=recipe, overrides=SHORT, run=run)
    written = export_run(run, tmp_path / "model", formats=[format])
    ending = programs.ENDINGS[format]
    assert [program.name for program in written] == [f"encoder{ending}", f"decoder{ending}"]
    assert max(program.error for program in written) < 1e-4
    loaded, rows = genzoo.load(run), 7
    y = torch.eye(10)[torch.arange(rows)] if loaded.networks.is_conditional else None
    z, conditions = torch.randn(rows, loaded.latent), () if y is None else (y,)
    path = tmp_path / "model" / f"decoder{ending}"
    if format == "onnx":
        inputs = {"z": z.numpy()} | ({} if y is None else {"y": y.numpy()})
        (x,) = runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["x"], inputs)
    else:
        (x,) = torch.export.load(path).module()(z, *conditions)
    torch.testing.assert_close(torch.as_tensor(x), loaded.decode(z, y), rtol=1e-4, atol=1e-5)
    for path in (tmp_path / "model").iterdir():
        assert not [place for place in (root, tmp_path, "/genzoo/") if str(place).encode() in path.read_bytes()], path


def test_a_program_that_differs_from_the_model_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "_LARGEST_ERROR", -1.0)
    with pytest.raises(genzoo.GenzooError, match=r"encoder\.pt2 differs from the model by 0"):
        export_run(run, tmp_path / "model", formats=["torch-export"])


def test_a_format_whose_packages_are_missing_says_what_to_type(say, run, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    said = say("export", run, "--out", "model", "--format", "onnx")
    assert said.code == 2
    assert said.err.splitlines()[-1] == "type: pip install 'genzoo[export]'"
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("resume", "model"), 2, "model is an exported model: it has weights alone"),
        (("train", "ali", "--recipe", "digits", "--run", "model"), 2, "model is an exported model"),
        (("sample", "model", "--raw"), 2, "model holds averaged weights alone"),
        (("export", "model", "--out", "model"), 2, "model exists and is not empty"),
        (("sample", "damaged"), 3, "is damaged: its SHA-256"),
        (("resume", "model/run.json"), 2, "model is an exported model: it has weights alone"),
        (("sample", "alone.safetensors"), 3, "alone.safetensors is a file of no exported model: run.json and"),
        (("export", "alone.safetensors", "--out", "other"), 3, "write an exported model: genzoo export RUN --out DIR"),
    ],
)
def test_what_an_exported_model_is_not_for_is_refused(say, exported, tmp_path, command, code, says):
    damaged = shutil.copytree(exported, tmp_path / "damaged") / "averaged.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    shutil.copyfile(exported / "averaged.safetensors", tmp_path / "alone.safetensors")
    said = say(*command)
    assert (said.code, 1 <= len(said.err.splitlines()) <= 3) == (code, True)
    assert says in said.err


def test_an_override_that_names_a_folder_is_told(run, tmp_path):
    copy = genzoo.Run(shutil.copytree(run, tmp_path / "copy"))
    copy.write_record(replace(copy.record, overrides={"dataset.place": "/home/me"}))
    with pytest.warns(genzoo.GenzooWarning, match=r"a folder of this machine: overrides\.dataset\.place: /home/me"):
        export_run(copy, tmp_path / "model")
