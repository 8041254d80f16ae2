"""The components that the core itself offers, registered through the hooks that plugins use."""

from genzoo.host.hooks import Offers, hookimpl, lazy


@hookimpl
def genzoo_components() -> Offers:
    """Objectives, schedules and priors."""
    return [
        lazy("non-saturating", "genzoo.games.objectives:NonSaturating", "the paper's objective (equation 4)"),
        lazy("minimax", "genzoo.games.objectives:Minimax", "the value function itself (equation 1)"),
        lazy("least-squares", "genzoo.games.objectives:LeastSquares", "squared distance to targets 1 and 0"),
        lazy("hinge", "genzoo.games.objectives:Hinge", "margin loss for the critic, linear for the generator"),
        lazy("wasserstein", "genzoo.games.objectives:Wasserstein", "difference of mean logits"),
        lazy("simultaneous", "genzoo.games.schedules:Simultaneous", "everyone moves in every step"),
        lazy("alternating", "genzoo.games.schedules:Alternating", "n critic steps, then one generator step"),
        lazy("standard-normal", "genzoo.games.priors:StandardNormal", "independent N(0, 1) in every dimension"),
        lazy("uniform", "genzoo.games.priors:Uniform", "independent and uniform in every dimension"),
        lazy("mixture", "genzoo.games.priors:NormalMixture", "isotropic normals on a circle, or in drawn directions"),
        lazy("categorical-normal", "genzoo.games.priors:CategoricalNormal", "a one-hot category beside N(0, 1)"),
    ]
