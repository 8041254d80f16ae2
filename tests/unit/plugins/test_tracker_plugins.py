"""TensorBoard, Weights & Biases, MLflow and the table: what is read back from each after a run that went on."""

import csv
import json
import socket
import struct
from dataclasses import replace
from math import inf, isnan, nan

import pytest
from PIL import Image
from trackers import tracked_run

from genzoo.host.discovery import registry
from genzoo.runs.tracker import trackers_called
from genzoo_trackers.csv_table import CSVTable
from genzoo_trackers.mlflow_runs import MLflow
from genzoo_trackers.tensorboard_events import TensorBoard
from genzoo_trackers.wandb_runs import WandB

FIRST = {10: {"losses/critic": 0.5, "watch/p(q)": 0.25}, 20: {"losses/critic": nan, "time/steps_per_second": 31.5}}
SECOND = {30: {"losses/critic": 1 / 3, "scores/modes": 25.0}}
CARD = "# toy on toys\n\n| model | toy |\n|---|---|"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "0000010.png"
    Image.new("RGB", (6, 4), "red").save(path)
    return path


def follow(tracker, run, picture):
    """Have a tracker told of a run that is stopped after 20 steps, and goes on to 30."""
    first = tracker.start(run)
    for step, values in FIRST.items():
        first.log(step, values)
    first.picture(10, "samples", picture)
    first.finish(done=False)
    second = tracker.start(run)
    for step, values in SECOND.items():
        second.log(step, values)
    second.picture(30, "samples", picture)
    second.card(30, CARD)
    second.finish(done=True)


def expected():
    """Return all numbers as {name: [(step, value), …]}."""
    numbers = {}
    for step, values in (FIRST | SECOND).items():
        for name, value in values.items():
            numbers.setdefault(name, []).append((step, value))
    return numbers


def same(found, wanted):
    """Say whether two lists of (step, value) are equal, a NaN to a NaN, to float32."""
    return len(found) == len(wanted) and all(
        step == other and (value == pytest.approx(number, rel=1e-7) or (isnan(value) and isnan(number)))
        for (step, value), (other, number) in zip(found, wanted, strict=True)
    )


# TensorBoard


def events_of(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = {"scalars": 0, "images": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def test_tensorboards_own_reader_gives_every_step_once(tmp_path, picture):
    run = tracked_run(tmp_path, seed=3)
    follow(TensorBoard(), run, picture)
    events = events_of(run.folder)
    tags = events.Tags()
    assert set(tags["scalars"]) == expected().keys()
    for name, wanted in expected().items():
        assert same([(event.step, event.value) for event in events.Scalars(name)], wanted)
    images = events.Images("samples")
    assert [(image.step, image.width, image.height) for image in images] == [(10, 6, 4), (30, 6, 4)]
    assert images[0].encoded_image_string == picture.read_bytes()
    (card,) = events.Tensors("card")
    assert (card.step, card.tensor_proto.string_val[0].decode()) == (30, CARD)
    (settings,) = events.Tensors("settings")
    assert "| seed | 3 |" in settings.tensor_proto.string_val[0].decode()


def test_event_files_do_not_name_this_machine(tmp_path, picture, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "canary-of-a-host")
    run = tracked_run(tmp_path)
    follow(TensorBoard(), run, picture)
    files = sorted(run.folder.iterdir())
    assert len(files) == 2
    assert not any("canary" in path.name for path in files)
    content = b"".join(path.read_bytes() for path in files)
    assert b"canary" not in content
    assert str(tmp_path).encode() not in content


def test_a_killed_sessions_last_event_is_there_and_a_torn_one_is_passed_over(tmp_path):
    run = tracked_run(tmp_path)
    killed = TensorBoard().start(run)
    killed.log(10, FIRST[10])
    (file,) = run.folder.iterdir()  # nothing was closed
    with file.open("ab") as torn:
        torn.write(b"\x20\x00\x00")
    TensorBoard().start(run).log(20, {"losses/critic": 0.25})
    assert [(event.step, event.value) for event in events_of(run.folder).Scalars("losses/critic")] == [
        (10, 0.5),
        (20, 0.25),
    ]


# The table


def test_the_table_holds_every_number_to_the_bit(tmp_path, picture):
    run = tracked_run(tmp_path)
    follow(CSVTable(), run, picture)
    with (run.folder / "numbers.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["step", "name", "value"]
    told = [(step, name, value) for step, values in (FIRST | SECOND).items() for name, value in values.items()]
    assert [(int(step), name) for step, name, _ in rows] == [(step, name) for step, name, _ in told]
    assert all(float(row[2]) == value or isnan(value) for row, (*_, value) in zip(rows, told, strict=True))
    assert float(rows[3][2]) == 31.5


def test_a_line_of_the_table_that_was_cut_off_goes_when_it_goes_on(tmp_path):
    run = tracked_run(tmp_path)
    CSVTable().start(run).log(1, {"a": 0.1, "b": inf})
    table = run.folder / "numbers.csv"
    table.write_text(table.read_text() + "2,losses/cri")
    CSVTable().start(run).log(2, {"a,b": 3.0})
    assert table.read_text() == 'step,name,value\n1,a,0.1\n1,b,inf\n2,"a,b",3.0\n'


# What is not there


@pytest.mark.parametrize("library", ["tensorboard", "wandb", "mlflow"])
def test_without_its_library_a_tracker_names_the_extra(monkeypatch, say, library):
    registry().load("trackers", library)  # before what it imports is not there
    monkeypatch.setattr("genzoo_trackers.libraries.find_spec", lambda name: None)
    said = say("train", "gan", "--track", library)
    assert said.code == 2
    assert said.err.splitlines()[0] == (
        f"error: tracker '{library}' cannot be used here: it is not installed; type: pip install 'genzoo[{library}]'"
    )


def test_settings_are_fields_after_the_name(monkeypatch):
    (tracker,) = trackers_called(["csv"])
    assert tracker == CSVTable()
    monkeypatch.setattr(MLflow, "obstacle", lambda tracker: None)
    (tracker,) = trackers_called(["mlflow.uri=sqlite:///a=b.db", "mlflow.experiment=mine", "mlflow"])
    assert tracker == MLflow(uri="sqlite:///a=b.db", experiment="mine")


# Weights & Biases, and MLflow


BLOCK, HEADER = 32768, 7
"""Sizes in Weights & Biases' files: blocks as in LevelDB's log, the first after a header of its own."""


def parts_of(content):
    """Yield kind (1 whole, 2 first, 3 middle, 4 last) and bytes of every part of a record."""
    place = HEADER
    while place < len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", content, place + 4)
        yield kind, content[place + HEADER : place + HEADER + size]
        place += HEADER + size


def records_in(folder):
    """Yield the records in all of Weights & Biases' offline files below a folder, in the order of the sessions."""
    from wandb.proto.wandb_internal_pb2 import Record

    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        waiting = b""
        for kind, part in parts_of(path.read_bytes()):
            waiting += part
            if kind in (1, 4):
                yield Record.FromString(waiting)
                waiting = b""


@pytest.mark.slow
def test_wandb_offline_holds_every_step_once_and_nothing_of_this_machine(tmp_path, picture, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr(socket, "gethostname", lambda: "canary-of-a-host")
    monkeypatch.setenv("USER", "canary-of-a-user")
    monkeypatch.chdir(tmp_path)
    run = replace(tracked_run(tmp_path, seed=3), identity="0123456789abcdef" * 2)
    follow(WandB(mode="offline", project="zoo"), run, picture)
    wandb.teardown()  # its own process writes the files, and has done so when it has ended
    numbers, pictures, runs = {}, [], []
    for record in records_in(tmp_path):
        if record.HasField("run"):
            runs.append(record.run)
        if record.HasField("history"):
            row = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
            for name in row.keys() - {"step"}:
                if name == "samples":
                    pictures.append(row["step"])
                elif not name.startswith("_"):
                    numbers.setdefault(name, []).append((row["step"], float(row[name])))
    assert {each.run_id for each in runs} == {run.identity}
    assert {each.project for each in runs} == {"zoo"}
    config = {update.key: json.loads(update.value_json) for update in runs[0].config.update}
    assert config.items() >= run.settings.items()
    assert numbers.keys() == expected().keys()
    assert all(same(numbers[name], wanted) for name, wanted in expected().items())
    assert pictures == [10, 30]
    assert any(each.notes == CARD for each in runs)
    content = b"".join(path.read_bytes() for path in tmp_path.glob("wandb/offline-run-*/*.wandb"))
    for private in ("canary", str(tmp_path), socket.getfqdn()):
        assert private.encode() not in content


@pytest.mark.slow
def test_mlflow_in_a_database_holds_every_step_once_and_no_user(tmp_path, picture, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("USER", "canary-of-a-user")
    monkeypatch.setenv("LOGNAME", "canary-of-a-user")
    monkeypatch.chdir(tmp_path)
    run = tracked_run(tmp_path, seed=3, long="x" * 1000)
    tracker = MLflow(uri="sqlite:///runs.db", experiment="zoo")
    follow(tracker, run, picture)
    client = mlflow.MlflowClient(tracking_uri=tracker.uri)
    (stored,) = client.search_runs([client.get_experiment_by_name("zoo").experiment_id])
    assert (stored.info.run_name, stored.info.status) == (run.name, "FINISHED")
    assert stored.data.params == {"model": "toy", "seed": "3", "long": "x" * 500}
    for name, wanted in expected().items():
        history = client.get_metric_history(stored.info.run_id, name.replace("(", "_").replace(")", "_"))
        assert same([(metric.step, metric.value) for metric in history], wanted)
    assert [each.path for each in client.list_artifacts(stored.info.run_id, "samples")] == ["samples/0000010.png"]
    assert stored.data.tags.items() >= {"mlflow.note.content": CARD, "genzoo.run": run.identity}.items()
    assert b"canary" not in (tmp_path / "runs.db").read_bytes()
