"""Tuning: ranges, trials that are counted once, what is repeated after a kill, and what is handed over."""

import json
import shlex
from concurrent.futures import ThreadPoolExecutor

import pytest

from genzoo.comparison import train_requests
from genzoo.errors import DivergedError, InterruptedRun, ResourceError, SettingsError
from genzoo.storage.run_folder import Run
from genzoo_tune import search as searching
from genzoo_tune.ranges import Range, range_in
from genzoo_tune.search import Journal, Search, Searcher
from genzoo_tune.summary import Summary

RATE, SIZE = "training.learning_rate", "training.batch_size"
SMALL = {"dataset.rows": "200", "dataset.held_out_rows": "2200"}
TYPED = [word for path, value in SMALL.items() for word in ("--set", f"{path}={value}")]
SCORE = "modes/divergence"


# Ranges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=1e-5..1e-2:log", Range(path="a.b", low=1e-5, high=1e-2, is_log=True)),
        ("a=0.5..1", Range(path="a", low=0.5, high=1.0)),
        ("a=-2..8", Range(path="a", low=-2, high=8, is_whole=True)),
        ("a=16..512:log", Range(path="a", low=16, high=512, is_log=True, is_whole=True)),
        ("a=32, 64,128", Range(path="a", choices=("32", "64", "128"))),
        ("a=hinge,minimax", Range(path="a", choices=("hinge", "minimax"))),
    ],
)
def test_a_range_is_an_interval_or_choices(text, expected):
    assert range_in(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a", "expected PATH=LOW..HIGH"),
        ("a=", "expected PATH=LOW..HIGH"),
        ("a=1", "at least two values, all different"),
        ("a=1,1", "at least two values, all different"),
        ("a=1,", "at least two values, all different"),
        ("a=2..1", "expected LOW < HIGH"),
        ("a=0..1:log", "expected 0 < LOW < HIGH"),
        ("a=1..2:lin", "':lin' is no scale"),
        ("a=x..2", "the limits are no numbers"),
        ("a=1..inf", "expected LOW < HIGH"),
    ],
)
def test_what_is_no_range_is_refused(text, says):
    with pytest.raises(SettingsError, match=says):
        range_in(text)


def test_a_drawn_value_is_typed_with_four_digits_inside_its_range():
    drawn = Range(path="a", low=0.9, high=0.99996)
    assert drawn.text(0.912345678) == "0.9123"
    assert drawn.text(0.99996) == "0.99996"  # four digits would be 1
    assert Range(path="a", low=1, high=9, is_whole=True).text(7) == "7"
    assert Range(path="a", choices=("none", "0.9")).text("none") == "none"
    assert (drawn.ends, range_in("a=x,y,z").ends) == (("0.9", "0.99996"), ("x", "z"))


# Trials


def search(**chosen):
    values = {"model": "gan", "recipe": "mixture25", "score": SCORE, "steps": 2, "overrides": SMALL}
    return Search(
        ranges=(range_in(f"{RATE}=1e-4..1e-3:log"), range_in(f"{SIZE}=8,16")), device="cpu", **values | chosen
    )


@pytest.fixture
def pretended(monkeypatch):
    """Have trainings take no time: a run's score is its batch size, and the requests are collected."""
    requested = []

    class Pretended:
        def __init__(self, request):
            self.final_scores = [{"metric": SCORE, "value": float(request.overrides[SIZE]), "better": "higher"}]

    def train(requests, folder, *, executor):
        requested.append((folder, requests))
        return [(Pretended(request), None) for request in requests]

    monkeypatch.setattr(searching, "train_requests", train)
    return requested


def searched(journal, trials, *, jobs=1):
    said = []
    with ThreadPoolExecutor(1) as executor:
        Searcher(journal, trials=trials, executor=executor, say=said.append).run(jobs)
    return Summary.of(journal), said


def test_a_search_ends_with_the_best_trial_and_the_comparison_that_it_is_handed_to(tmp_path, pretended):
    summary, said = searched(Journal(tmp_path, search(seeds=2), seed=0), 6)
    assert len(pretended) == len(summary.rows) == len(said) == 6
    assert {row.score for row in summary.rows} == {8.0, 16.0}
    assert summary.best.score == 16.0  # higher is better
    assert summary.best.values[SIZE] == "16"
    (_, requests), *_ = pretended
    assert [(each.seed, each.split, each.metrics) for each in requests] == [
        (100, "validation", ["modes"]),
        (101, "validation", ["modes"]),
    ]
    words = summary.comparison()
    assert words[:3] == ["compare", "gan", "tuned=gan"]
    assert {f"tuned:{SIZE}=16", f"tuned:{RATE}={summary.best.values[RATE]}", "dataset.rows=200"} <= set(words)
    assert words[words.index("--seeds") + 1] == "3"  # from 0 on, so none of those by which it was chosen
    assert "so it is optimistic" in summary.warning()
    summary.write()
    assert json.loads((tmp_path / "results.json").read_text())["then"] == shlex.join(["genzoo", *words])


def test_a_search_goes_on_where_it_was_and_repeats_nothing(tmp_path, pretended):
    first, _ = searched(Journal(tmp_path, search(), seed=0), 3)
    again, said = searched(Journal(tmp_path, search(), seed=0), 3)
    assert (again.rows, said, len(pretended)) == (first.rows, [], 3)
    more, _ = searched(Journal(tmp_path, search(), seed=0), 5)
    assert {row.number for row in more.rows} == {0, 1, 2, 3, 4}
    assert set(map(str, first.rows)) <= set(map(str, more.rows))


def test_several_workers_share_the_trials(tmp_path, pretended):
    journals = [Journal(tmp_path, search(), seed=0) for _ in range(2)]
    with ThreadPoolExecutor(2) as workers:
        list(workers.map(lambda journal: searched(journal, 8, jobs=2), journals))
    summary = Summary.of(Journal(tmp_path, search(), seed=0))
    assert sorted(row.number for row in summary.rows) == list(range(8))
    assert len(pretended) == 8


def test_a_trial_of_a_process_that_was_killed_is_repeated_with_its_values_in_its_folder(tmp_path, pretended):
    killed = Journal(tmp_path, search(), seed=0)
    trial = killed.begin(5)
    other = Journal(tmp_path, search(), seed=0)
    following = other.begin(5)
    assert Summary.of(other).unended == 2
    assert following.params != trial.params  # while its lock is held, the trial goes on elsewhere
    other.end(following, failure="it diverged")
    other.release(following)
    killed.release(trial)  # as the system does when the process ends
    repeated = other.begin(5)
    assert (repeated.params, repeated.number) == (trial.params, 2)
    assert other.place(repeated) == killed.place(trial) == tmp_path / "trials" / "0000"
    other.end(repeated, scores=[1.0])
    other.release(repeated)
    summary, _ = searched(Journal(tmp_path, search(), seed=0), 5)
    assert sorted(row.number for row in summary.rows) == [1, 2, 3, 4, 5]


def test_what_a_trial_fails_by_is_a_result_and_what_a_person_can_mend_ends_the_search(tmp_path, monkeypatch):
    errors = [DivergedError("step 3"), ResourceError("out of memory"), InterruptedRun("its process", signal_number=9)]
    errors += [InterruptedRun("stopped", signal_number=15), SettingsError("a misspelt setting", "mend it")]
    monkeypatch.setattr(searching, "train_requests", lambda *_, **__: [(Run("none"), errors[len(failed())])])
    journal = Journal(tmp_path, search(), seed=0)

    def failed():
        return [row.failure for row in Summary.of(journal).rows]

    with pytest.raises(InterruptedRun):
        searched(journal, 9)
    assert failed() == ["step 3", "out of memory", "its process"]
    assert Summary.of(journal).comparison() is None
    errors.pop(3)
    with pytest.raises(SettingsError, match="misspelt"):
        searched(journal, 9)
    assert len(failed()) == 3


def test_scores_that_cannot_be_tuned_by_are_refused_and_one_that_is_not_finite_is_a_failure(tmp_path, monkeypatch):
    class Measured:
        final_scores = [
            {"metric": "modes/width", "value": 1.0, "better": None},
            {"metric": SCORE, "value": None, "better": "lower"},
        ]

    monkeypatch.setattr(searching, "train_requests", lambda *_, **__: [(Measured(), None)])
    for name, says in (("modes/width", "neither side"), ("modes/none", "no score 'modes/none' was measured")):
        with pytest.raises(SettingsError, match=says) as refused:
            searched(Journal(tmp_path / name, search(score=name), seed=0), 1)
        assert refused.value.remedy in ("name another one: --score", f"there are: {SCORE}")
    summary, _ = searched(Journal(tmp_path, search(), seed=0), 1)
    assert [row.failure for row in summary.rows] == [f"{SCORE} is not finite"]


# The command


@pytest.fixture
def here(monkeypatch):
    """Train in this process."""
    monkeypatch.setattr("genzoo.comparison.LocalProcesses", lambda jobs: ThreadPoolExecutor(1))


@pytest.mark.usefixtures("here")
def test_the_command_trains_on_the_validation_split_and_goes_on(say, tmp_path):
    words = (
        "tune",
        "gan",
        "--score",
        SCORE,
        "--range",
        f"{RATE}=1e-3,1e30",
        *TYPED,
        "--set",
        f"{SIZE}=8",
        "--steps",
        2,
    )
    said = say(*words, "--device", "cpu", "--trials", 4, "--json")
    document = said.document
    outcomes = {trial["set"][RATE]: trial["score"] is not None for trial in document["trials"]}
    assert outcomes == {"1e-3": True, "1e30": False}
    assert (document["best"]["set"], document["seeds"], document["split"]) == ({RATE: "1e-3"}, [100], "validation")
    runs = [Run(path.parent) for path in tmp_path.glob("tunings/mixture25/gan/trials/*/cells/*/run.json")]
    assert len(runs) == 2  # trials with equal values share their runs
    assert {run.record.seed for run in runs} == {100}
    table = (tmp_path / "tunings" / "mixture25" / "gan" / "table.md").read_text()
    assert "failed: " in table
    again = say(*words, "--device", "cpu", "--trials", 4)
    assert "4 trials, 4 done already" in again.err
    assert again.out.rstrip().splitlines()[-1].strip() == document["then"]
    other = say(*words, "--device", "cpu", "--trials", 1, "--seeds", 2, "--folder", "tunings/mixture25/gan")
    assert other.code == 2
    assert "holds another search" in other.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--range", "training.learnin_rate=1,2"), "no setting 'training.learnin_rate'; did you mean"),
        (("--range", "training.beta1=0..2"), "beta1 is 2"),
        (("--range", f"{RATE}=1,2", "--set", f"{RATE}=3"), f"{RATE} is named twice"),
        (("--range", f"{RATE}=1,2", "--score", "mode"), "no metric named 'mode'"),
        (("--range", f"{RATE}=1,2", "--set", "x"), "expected PATH=VALUE"),
        (("--range", f"{RATE}=1,2", "--json", "--then-compare"), "writes one document"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(say, tmp_path, words, says):
    said = say("tune", "gan", "--score", SCORE, *words)
    assert said.code == 2
    assert says in " ".join(said.err.split())
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_one_line_says_what_to_type(say, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    said = say("tune", "gan", "--score", SCORE, "--range", f"{RATE}=1,2")
    assert (said.code, said.err) == (2, "error: genzoo tune needs optuna\ntype: pip install 'genzoo[tune]'\n")


@pytest.mark.usefixtures("here")
def test_then_compare_goes_on_with_the_command_that_is_printed(say, monkeypatch, pretended):
    began = []
    monkeypatch.setattr("os.execv", lambda program, words: began.append(words))
    said = say(
        *("tune", "gan", "--score", SCORE, "--range", f"{SIZE}=8,16", "--trials", 2, "--steps", 2, "--then-compare")
    )
    assert said.code == 0
    assert shlex.join(["genzoo", *began[0][4:]]) == said.out.splitlines()[-1].strip()


def test_runs_of_requests_are_trained_once(tmp_path):
    requests = search().requests({RATE: "1e-3", SIZE: "8"})
    with ThreadPoolExecutor(1) as executor:
        ((run, error),) = train_requests(requests, tmp_path, executor=executor)
        assert (error, run.step, run.record.seed) == (None, 2, 100)
        written = (run.path / "evaluation.json").stat().st_mtime_ns
        assert train_requests(requests, tmp_path, executor=executor) == [(run, None)]
    assert (run.path / "evaluation.json").stat().st_mtime_ns == written
