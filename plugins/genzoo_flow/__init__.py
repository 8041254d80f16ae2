"""Flow matching: the code of x is where an ordinary differential equation takes it."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return the flows."""
    return [
        lazy(
            "rectified-flow",
            "genzoo_flow.rectified_flow:RectifiedFlow",
            "a velocity along straight lines from prior to data; samples and codes by an ODE solver",
        )
    ]


@hookimpl
def genzoo_components() -> list[lazy]:
    """Return the solvers of differential equations."""
    return [
        lazy("heun", "genzoo_flow.solvers:Heun", "a fixed number of steps of order 2"),
        lazy("adaptive", "genzoo_flow.solvers:Adaptive", "steps of order 3, as long as a tolerance allows"),
    ]
