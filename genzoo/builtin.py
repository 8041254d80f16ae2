"""The components that the core itself offers, registered through the hooks that plugins use."""

from genzoo.hooks import Offers, hookimpl, lazy


@hookimpl
def genzoo_components() -> Offers:
    """Objectives, schedules and the standard prior."""
    return [
        lazy("non-saturating", "genzoo.objectives:NonSaturating", "the paper's objective (equation 4)"),
        lazy("minimax", "genzoo.objectives:Minimax", "the value function itself (equation 1)"),
        lazy("least-squares", "genzoo.objectives:LeastSquares", "squared distance to targets 1 and 0"),
        lazy("hinge", "genzoo.objectives:Hinge", "margin loss for the critic, linear for the generator"),
        lazy("wasserstein", "genzoo.objectives:Wasserstein", "difference of mean logits"),
        lazy("simultaneous", "genzoo.schedules:Simultaneous", "everyone moves in every step"),
        lazy("alternating", "genzoo.schedules:Alternating", "n critic steps, then one generator step"),
        lazy("standard-normal", "genzoo.priors:StandardNormal", "independent N(0, 1) in every dimension"),
    ]
