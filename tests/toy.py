"""Settings of the smallest training that logs, saves and ends: overrides of the recipe mixture25."""

TOY = {
    "training.steps": 4,
    "training.batch_size": 8,
    "training.log_every": 2,
    "training.checkpoint_every": 2,
    "dataset.rows": 64,
    "dataset.held_out_rows": 32,
}
