"""Models and data sets of the Hugging Face hub, and of object stores."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_stores() -> list[lazy]:
    """Return the stores of models in repositories, and of models and prepared data in buckets."""
    return [
        lazy("hf", "genzoo_hub.repositories:Repositories", "models on the Hugging Face hub, hf://OWNER/NAME"),
        lazy("s3", "genzoo_hub.buckets:S3", "models and prepared data in a bucket, s3://BUCKET/FOLDER"),
        lazy("gs", "genzoo_hub.buckets:GoogleStorage", "models and prepared data in a bucket, gs://BUCKET/FOLDER"),
    ]


@hookimpl
def genzoo_commands() -> list[lazy]:
    """Return the commands `push` and `pull`."""
    return [
        lazy("push", "genzoo_hub.commands:push", "Upload RUN's model to a repository of the Hugging Face hub."),
        lazy("pull", "genzoo_hub.commands:pull", "Copy a model from the Hugging Face hub into a folder."),
    ]


@hookimpl
def genzoo_datasets() -> list[lazy]:
    """Return the data set of whatever `datasets` reads."""
    return [lazy("hf", "genzoo_hub.images:HubImages", "images of the Hugging Face hub, parquet files or folders")]


@hookimpl
def genzoo_recipes() -> list[lazy]:
    """Return recipes on it."""
    return [
        lazy(
            "hf32",
            "genzoo_hub.recipes:HF32",
            "images of the Hugging Face hub, parquet files or folders at 32×32, as folder32",
        ),
        lazy(
            "hf64",
            "genzoo_hub.recipes:HF64",
            "images of the Hugging Face hub, parquet files or folders at 64×64, as folder64",
        ),
    ]
