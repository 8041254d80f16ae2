"""The smallest training that logs, saves and ends, as overrides of the recipe mixture25; and a record of such a run."""

from genzoo.storage import files
from genzoo.storage.record import RunRecord

TOY = {
    "training.steps": 4,
    "training.batch_size": 8,
    "training.log_every": 2,
    "training.checkpoint_every": 2,
    "dataset.rows": 64,
    "dataset.held_out_rows": 32,
}
RECORD = {
    "model": "ali",
    "recipe": "mixture25",
    "seed": 0,
    "precision": "fp32",
    "settings": {"training": {"steps": 4}},
    "overrides": {},
    "from": None,
    "label_frequencies": None,
    "data": None,
    "device": "cpu",
    "execution": "eager",
    "ranks": 1,
    "plugins": {"genzoo": "0.1.0"},
    "versions": {"genzoo": "0.1.0"},
    "created": "2026-01-01T00:00:00+00:00",
}


def record(**changes):
    """Return RECORD with changes, as a value."""
    return RunRecord.from_json(RECORD | changes)


def put_record(path, content):
    """Seal `content`, whatever it is, as the record of the run at `path`."""
    files.write_sealed(path / "run.json", {"schema_version": files.SCHEMA_VERSION, **content})
