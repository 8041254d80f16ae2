"""The paper's toy study (section 4.5), mode coverage and figure 8, and a study of what came after it."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_studies() -> list[lazy]:
    """Return the studies."""
    return [
        lazy(
            "ali/mode-coverage",
            "genzoo_studies.coverage:ModeCoverage",
            "modes that 10 ALI and 10 GAN with random hyper-parameters cover",
        ),
        lazy("ali/figure8", "genzoo_studies.figure8:Figure8", "four ways to infer z, side by side on the toy task"),
        lazy(
            "stabilisers",
            "genzoo_studies.stabilisers:Stabilisers",
            "what averaging, penalties, schedules and augmentation bring to ALI and GAN",
        ),
    ]
