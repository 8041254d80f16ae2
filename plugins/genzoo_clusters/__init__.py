"""Clusters: trainings of comparisons as jobs of Slurm, or on the workers of Ray or Dask."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_executors() -> list[lazy]:
    """Return the engines that can run trainings elsewhere than in processes started here."""
    return [
        lazy("slurm", "genzoo_clusters.slurm:Slurm", "jobs of Slurm, sent by submitit as an array"),
        lazy("ray", "genzoo_clusters.on_ray:Ray", "tasks of a Ray cluster, or of one started here"),
        lazy("dask", "genzoo_clusters.on_dask:Dask", "workers of a Dask cluster, or of one started here"),
    ]
