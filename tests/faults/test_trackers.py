"""Trackers: what they are told, that none of it is told twice, and that a training does not notice them."""

import time
import warnings

import pytest
from contents import tensors_of
from stopping import StopAt
from toy import TOY
from trackers import TOLD, Ear, Listener, Meddler, Other, told

import genzoo
from genzoo.errors import GenzooWarning, InterruptedRun, SettingsError
from genzoo.evaluation import pictures
from genzoo.runs import TrainingRequest
from genzoo.runs.session import train_request
from genzoo.storage import files
from genzoo.storage.run_folder import Run
from genzoo.storage.run_trackers import TrackerMemory

pytestmark = pytest.mark.usefixtures("one_thread", "every_save")

LONGER = TOY | {"training.steps": 9}
FINAL = 9


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Forget what was told, and draw nothing, which takes longer than so short a training."""
    TOLD.clear()
    monkeypatch.setattr(pictures, "save_panels", lambda path, panels: files.write(path, b"\x89PNG"))


def train(path, *trackers, callback=None, metrics=(), **changes):
    overrides = LONGER | {f"training.{name}": value for name, value in changes.items()}
    request = TrainingRequest(model="gan", overrides=overrides, run=path, metrics=metrics, track=trackers or None)
    return train_request(request, callback)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return the tensors of a run without trackers."""
    return tensors_of(train(tmp_path_factory.mktemp("plain") / "run").path)


def steps_of(title):
    return [step for step, _ in told(title, "log")]


def test_a_tracker_is_told_what_the_log_and_the_folder_hold(tmp_path, plain):
    run = train(tmp_path / "run", Listener(), metrics=["modes"], evaluate_every=4)
    (start,) = told("all", "start")
    assert (start[0].name, start[0].identity) == ("run", run.record.identity)
    assert start[0].folder == run.path / "trackers" / "listener"
    assert start[0].settings["training.learning_rate"] == run.record.settings["training"]["learning_rate"]
    assert start[0].settings.items() >= {"model": "gan", "seed": 0, "game.objective": "relativistic"}.items()

    logged = [(step, values) for step, values in told("all", "log") if "losses/critic" in values]
    entries = run.read_log()
    assert [step for step, _ in logged] == [entry["step"] for entry in entries] == [2, 4, 6, 8, FINAL]
    for (_, values), entry in zip(logged, entries, strict=True):
        assert {"losses/critic", "losses/generator", "time/seconds", "time/steps_per_second"} <= values.keys()
        assert values["losses/critic"] == entry["losses"]["critic"]
        assert values["watch/sample_spread"] == entry["watch"]["sample_spread"]
        assert not any("partial" in name for name in values)

    scored = [(step, values) for step, values in told("all", "log") if "losses/critic" not in values]
    assert [step for step, _ in scored] == [4, 8, FINAL]
    stored = {f"scores/{score['metric']}": score["value"] for score in run.final_scores}
    assert scored[-1][1] == {name: value for name, value in stored.items() if value is not None}
    pictures = told("all", "picture")
    drawn = {(int(path.stem), "samples") for path in (run.path / "samples").iterdir()}
    assert {(step, name) for step, name in pictures} == drawn
    assert [step for step, _ in told("all", "card")] == [4, 8, FINAL]
    card = told("all", "card")[-1][1]
    assert card.startswith("# gan on mixture25\n")
    assert "| scores" not in card
    assert f"after {FINAL} steps with seed 0" in card
    assert "| modes/counted |" in card
    assert told("all", "finish") == [[True]]
    assert tensors_of(run.path) == plain


@pytest.mark.parametrize("method", ["start", "log", "picture", "card", "finish"])
def test_one_that_fails_is_told_nothing_more_after_one_warning_and_the_rest_goes_on(tmp_path, plain, method):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GenzooWarning)
        run = train(tmp_path / "run", Listener(fails_in=method), Other())
    (warned,) = [str(each.message) for each in caught if issubclass(each.category, GenzooWarning)]
    assert warned.startswith("tracker ")
    assert f"OSError: {method} does not work" in warned
    assert warned.endswith("; it is told nothing more, and the training goes on")
    order = ["start", "log", "picture", "card", "finish"]
    assert {name for name, *_ in TOLD.get("all", [])} == set(order[: order.index(method)])
    assert steps_of("other") == [2, 4, 6, 8, FINAL]
    assert told("other", "finish") == [[True]]
    assert tensors_of(run.path) == plain


@pytest.mark.parametrize("problem", [SystemExit(3), SettingsError("no such project", "name another"), MemoryError()])
def test_whatever_is_raised_detaches_it(tmp_path, monkeypatch, problem):
    monkeypatch.setattr(Other, "start", lambda tracker, run: (_ for _ in ()).throw(problem))
    with pytest.warns(GenzooWarning, match="tracker trackers:Other failed") as caught:
        assert train(tmp_path / "run", Other()).step == FINAL
    assert len(caught) == 1


def test_what_a_tracker_draws_changes_no_number(tmp_path):
    """Dropout draws from the global generators in every step."""
    order = {"training.steps": 3, "training.log_every": 1, "training.batch_size": 4}
    runs = [
        train_request(
            TrainingRequest(
                model="gan", recipe="digits", overrides=order, run=tmp_path / name, metrics=(), track=trackers
            )
        )
        for name, trackers in (("without", None), ("with", [Meddler()]))
    ]
    assert [step for step, _ in told("meddler", "log")] == [1, 2, 3]
    assert tensors_of(runs[0].path) == tensors_of(runs[1].path)


def test_its_time_is_not_that_of_training(tmp_path, monkeypatch):
    monkeypatch.setattr(Ear, "log", lambda ear, step, values: time.sleep(0.3))
    last = train(tmp_path / "run", Other()).read_log()[-1]
    assert last["wall_seconds"] - last["seconds"] > 4 * 0.3
    assert last["steps_per_second"] > last["wall_steps_per_second"]


# Going on


def interrupted(path, at, *trackers, **changes):
    with pytest.raises(InterruptedRun):
        train(path, *trackers, callback=StopAt(at), **changes)
    return Run(path)


def test_a_run_that_goes_on_tells_its_trackers_each_step_once(tmp_path):
    run = interrupted(tmp_path / "run", 5, Listener(title="kept"))
    assert steps_of("kept") == [2, 4]  # the entry of step 5 is written again, as part of that of step 6
    assert told("kept", "finish") == [[False]]
    interrupted_again = StopAt(7)
    with pytest.raises(InterruptedRun):
        genzoo.resume(run, callback=interrupted_again, progress=False)
    genzoo.resume(run, progress=False)
    assert steps_of("kept")[:5] == [2, 4, 6, 8, FINAL]
    assert told("kept", "finish") == [[False], [False], [True]]
    assert len({start.identity for (start,) in told("kept", "start")}) == 1
    genzoo.resume(run, progress=False)  # there is nothing left to do, and nothing to tell
    assert steps_of("kept").count(FINAL) == 2  # its log and its scores
    assert [step for step, _ in told("kept", "card")] == [FINAL]
    names = [(step, name) for step, name in told("kept", "picture")]
    assert len(names) == len(set(names))


def test_steps_that_are_taken_again_are_not_told_again(tmp_path):
    run = interrupted(tmp_path / "run", 7, Listener(title="kept"), keep_checkpoints=5)
    for step in (6, 7):  # as if the process had been killed before these were saved
        (run.checkpoints / f"step-{step:07d}").rename(tmp_path / f"step-{step}")
    assert run.step == 4
    genzoo.resume(run, progress=False)
    logs = [step for step, values in told("kept", "log") if "losses/critic" in values]
    assert logs == [2, 4, 6, 8, FINAL]
    assert [entry["step"] for entry in run.read_log()] == logs


def test_a_tracker_that_comes_later_is_told_all_that_was_before(tmp_path):
    run = interrupted(tmp_path / "run", 5, Listener(title="first"), picture_every=2)
    genzoo.resume(run, track=[Other()], progress=False)
    assert steps_of("first") == [2, 4]
    logs = [step for step, values in told("other", "log") if "losses/critic" in values]
    assert logs == [2, 4, 6, 8, FINAL]
    assert [step for step, _ in told("other", "picture")] == [2, 4, 6, 8, FINAL]
    genzoo.resume(run, steps=11, track=[Listener(title="first"), Other()], progress=False)
    logs = [step for step, values in told("first", "log") if "losses/critic" in values]
    assert logs == [2, 4, 6, 8, 10, 11]


def test_the_run_remembers_which_trackers_it_was_told_last_and_none_is_one_answer(tmp_path):
    run = interrupted(tmp_path / "run", 3, Listener(title="kept"))
    assert TrackerMemory.of(run).trackers[0].items() >= {"name": "trackers:Listener", "title": "kept"}.items()
    assert "kept" not in (run.path / "run.json").read_text()
    with pytest.raises(InterruptedRun):
        genzoo.resume(run, callback=StopAt(5), track=["none"], progress=False)
    assert TrackerMemory.of(run).trackers == ()
    genzoo.resume(run, progress=False)
    assert steps_of("kept") == [2]
    plain = train(tmp_path / "plain")
    assert not (plain.path / "trackers.json").exists()


def test_a_run_goes_on_without_a_tracker_that_is_missing_here_and_keeps_it_in_mind(tmp_path, monkeypatch):
    run = interrupted(tmp_path / "run", 3, Listener(title="kept"))
    missing = pytest.warns(GenzooWarning, match="without its tracker 'trackers:Listener': .*it is not installed")
    with monkeypatch.context() as here:
        here.setattr(Listener, "obstacle", lambda tracker: "it is not installed")
        with missing, pytest.raises(InterruptedRun):
            genzoo.resume(run, callback=StopAt(5), progress=False)
    genzoo.resume(run, progress=False)
    assert [step for step, values in told("kept", "log") if "losses/critic" in values] == [2, 4, 6, 8, FINAL]


@pytest.mark.parametrize(
    "content", ["{", '{"schema_version": 1}', '{"schema_version": 1, "trackers": [3], "sent": {}}']
)
def test_a_damaged_memory_costs_the_trackers_and_not_the_run(tmp_path, content):
    run = interrupted(tmp_path / "run", 3, Listener(title="kept"))
    (run.path / "trackers.json").write_text(content)
    with pytest.warns(GenzooWarning, match="the run goes on without its trackers"):
        assert genzoo.resume(run, progress=False).step == FINAL
    assert steps_of("kept") == [2]


def test_of_a_training_that_diverges_the_last_entry_is_told(tmp_path):
    with pytest.raises(genzoo.DivergedError):
        train(tmp_path / "run", Listener(), learning_rate=1e30)
    last = told("all", "log")[-1]
    assert last[0] == Run(tmp_path / "run").read_log()[-1]["step"]
    assert told("all", "finish") == [[False]]
