"""Sweeps: which contestants they make, what is refused, and where scores stand in their charts."""

import math
from dataclasses import replace

import pytest

from genzoo.comparison import CellResult, ResultRow, Results, StoredScore, report, results
from genzoo.comparison.sweep_charts import charts_of
from genzoo.comparison.sweeps import MOST_CONTESTANTS, SweepPoint, first_of_sweeps, swept
from genzoo.errors import SettingsError
from genzoo.runs import TrainingRequest
from genzoo.storage.run_folder import Run

RATE, WEIGHT = "training.learning_rate", "game.penalty.weight"


def made_of(labels, sweeps, *, seeds=1, common=(), **own):
    requests = {label: TrainingRequest(model="m", overrides=own.get(label, {})) for label in labels}
    return swept(requests, sweeps, overrides=dict(common), seeds=seeds)


def test_every_combination_is_a_contestant_with_a_label_that_gives_its_values():
    made, points = made_of(["a"], {RATE: ["1e-4", 3e-4], WEIGHT: [0.1, 1]})
    expected = [("1e-4", "0.1"), ("1e-4", "1"), ("0.0003", "0.1"), ("0.0003", "1")]
    assert list(made) == [f"a learning_rate={rate} weight={weight}" for rate, weight in expected]
    assert [request.overrides for request in made.values()] == [
        {RATE: rate, WEIGHT: weight} for rate, weight in expected
    ]
    assert points["a learning_rate=1e-4 weight=1"] == SweepPoint(contestant="a", values={RATE: "1e-4", WEIGHT: "1"})


def test_a_sweep_of_one_contestant_leaves_the_others_and_comes_before_that_of_all(tmp_path):
    run = Run(tmp_path / "before")
    requests = {"a": TrainingRequest(model="m"), "before": run, "b": TrainingRequest(model="m")}
    made, points = swept(requests, {RATE: ["1"], f"b:{RATE}": ["2", "3"]}, overrides={}, seeds=1)
    assert list(made) == ["a learning_rate=1", "before", "b learning_rate=2", "b learning_rate=3"]
    assert made["before"] is run
    assert set(points) == made.keys() - {"before"}
    assert first_of_sweeps(made, points) == ["a learning_rate=1", "before", "b learning_rate=2"]
    alone, points = made_of(["a", "b"], {f"b:{RATE}": ["2"]})
    assert (list(alone), list(points)) == (["a", "b learning_rate=2"], ["b learning_rate=2"])


def test_settings_that_end_alike_are_written_out():
    made, _ = made_of(["a"], {"training.players.critic.beta1": ["0"], "training.beta1": ["0.5"]})
    assert list(made) == ["a training.players.critic.beta1=0 training.beta1=0.5"]


@pytest.mark.parametrize(
    ("sweeps", "more", "says"),
    [
        ({"x:" + RATE: ["1"]}, {}, "no model 'x' is compared"),
        ({RATE: ["1", "1"]}, {}, "the value 1 is named twice"),
        ({RATE: []}, {}, "a value is missing"),
        ({RATE: ["1", ""]}, {}, "a value is missing"),
        ({RATE: ["1"]}, {"a": {RATE: "2"}}, f"{RATE} of a is both set and swept"),
        ({RATE: ["1"]}, {"common": {RATE: "2"}}, f"{RATE} of a is both set and swept"),
        (
            {RATE: range(60), WEIGHT: range(8)},
            {"seeds": 10},
            "the sweeps ask for 4,800 trainings: 480 contestants with 10 seeds each, expected at most 100 contestants",
        ),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(sweeps, more, says):
    with pytest.raises(SettingsError, match=says):
        made_of(["a"], sweeps, **more)


def test_as_many_contestants_as_may_be_are_made_and_runs_alone_are_not_swept(tmp_path):
    assert len(made_of(["a"], {RATE: range(MOST_CONTESTANTS)})[0]) == MOST_CONTESTANTS
    with pytest.raises(SettingsError, match="nothing to sweep: runs have their settings"):
        swept({"r": Run(tmp_path)}, {RATE: ["1"]}, overrides={}, seeds=1)


# Charts


def table_of(values, points, failures=()):
    """Return results with scores `m` by label and seed, of which those named in `failures` failed."""
    cells = []
    for label, of_seeds in values.items():
        for seed, value in enumerate(of_seeds):
            score = StoredScore(metric="m", value=value, step=3, protocol={"seed": seed}, better="lower", headline=True)
            failure = "exit 5: it diverged" if (label, seed) in failures else ""
            cells.append(
                CellResult(label=label, seed=seed, run="r", step=3, seconds=1.0, failure=failure, scores=(score,))
            )
    rows = [
        ResultRow(
            label=label,
            model="m",
            parameters=1,
            macs_per_update=1,
            images_seen=1,
            steps=3,
            seconds=1.0,
            seeds=tuple(range(len(of_seeds))),
            failed=tuple(cell.failure for cell in cells if cell.label == label and cell.failure),
            scores=results.row_scores([cell for cell in cells if cell.label == label]),
            settings={},
        )
        for label, of_seeds in values.items()
    ]
    return Results(
        recipe="r",
        data="d",
        rows=tuple(rows),
        baselines=(),
        cells=tuple(cells),
        environment={},
        command="",
        vectors=True,
        sweep=points,
    )


def grid():
    """Return results of two rates and two weights, of which one training failed, beside a contestant `b`."""
    requests = {"a": TrainingRequest(model="m"), "b": TrainingRequest(model="m")}
    sweeps = {"a:" + RATE: ["1e-3", "1e-4"], "a:" + WEIGHT: ["0", "1"]}
    made, points = swept(requests, sweeps, overrides={}, seeds=2)
    values = {label: (float(number), number + 2.0) for number, label in enumerate(made)}
    return table_of(values, points, failures={("a learning_rate=1e-4 weight=1", 0)})


def test_a_chart_has_a_curve_per_value_of_the_second_setting_and_a_line_for_what_was_not_swept():
    (chart,) = charts_of(grid())
    assert (chart.path, chart.better, chart.is_geometric) == (RATE, "lower", True)
    assert chart.ticks == {1e-3: "1e-3", 1e-4: "1e-4"}
    assert list(chart.curves) == ["a weight=0", "a weight=1"]
    assert [(point.x, point.values) for point in chart.curves["a weight=0"]] == [(1e-4, (2.0, 4.0)), (1e-3, (0.0, 2.0))]
    failed = chart.curves["a weight=1"][0]  # its other seed alone counts
    assert (failed.x, failed.values, failed.failed, failed.mean) == (1e-4, (5.0,), 1, 5.0)
    assert chart.constants == {"b": 5.0}
    assert chart.rows() == [[RATE, "a weight=0", "a weight=1"], ["1e-3", "1", "2"], ["1e-4", "3", "5, 1 failed"]]


def test_the_page_and_the_table_show_the_chart_and_name_the_sweep(tmp_path):
    table = grid()
    report.write_report(tmp_path, table, [])
    page, markdown = (tmp_path / "report.html").read_text(), (tmp_path / "table.md").read_text()
    assert "<h1>a by learning_rate and weight · b</h1>" in page
    assert page.count("m ↓ lower is better") == 1
    assert page.index("<h2>Scores against settings</h2>") < page.index("<h2>Scores</h2>")
    assert f"| {RATE} | a weight=0 | a weight=1 |\n| --- | --- | --- |\n| 1e-3 | 1 | 2 |" in markdown
    report.write_report(tmp_path, replace(table, sweep={}), [])
    assert "Scores against settings" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("texts", "is_geometric", "places"),
    [
        (("1e-4", "3e-4", "1e-3"), True, [1e-4, 3e-4, 1e-3]),
        (("32", "64", "128"), True, [32, 64, 128]),
        (("1", "2", "3", "4"), False, [1, 2, 3, 4]),
        (("0", "0.1", "1"), False, [0, 0.1, 1]),
        (("1", "9"), False, [1, 9]),
        (("1", "10"), True, [1, 10]),
        (("hinge", "minimax"), False, [0, 1]),
        (("none", "0.9"), False, [0, 1]),
        (("1", "inf"), False, [0, 1]),
    ],
)
def test_an_axis_is_logarithmic_where_values_lie_nearer_to_equal_ratios(texts, is_geometric, places):
    points = {text: SweepPoint(contestant="a", values={"p": text}) for text in texts}
    (chart,) = charts_of(table_of(dict.fromkeys(texts, (1.0,)), points))
    assert chart.is_geometric is is_geometric
    assert [point.x for point in chart.curves[""]] == places
    assert "<svg" in chart.drawing().drawing


def test_a_setting_at_which_every_training_failed_is_marked_and_has_no_mean():
    points = {text: SweepPoint(contestant="a", values={"p": text}) for text in ("1", "2")}
    (chart,) = charts_of(table_of({"1": (1.0,), "2": (math.nan,)}, points, failures={("2", 0)}))
    assert chart.curves[""][1].mean is None
    assert chart.rows() == [["p", "m"], ["1", "1"], ["2", "1 failed"]]
    assert "<svg" in chart.drawing().drawing
