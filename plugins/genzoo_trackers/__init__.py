"""Trackers: TensorBoard, Weights & Biases, MLflow, and a table of all numbers."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_trackers() -> list[lazy]:
    """Return the trackers."""
    return [
        lazy("csv", "genzoo_trackers.csv_table:CSVTable", "every number in a table in the run's folder"),
        lazy("mlflow", "genzoo_trackers.mlflow_runs:MLflow", "MLflow: a server, or a database in the current folder"),
        lazy("tensorboard", "genzoo_trackers.tensorboard_events:TensorBoard", "TensorBoard, from the run's folder"),
        lazy("wandb", "genzoo_trackers.wandb_runs:WandB", "Weights & Biases, online or offline"),
    ]
