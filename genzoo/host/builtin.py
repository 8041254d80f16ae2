"""The components that the core itself offers, registered through the hooks that plugins use."""

from genzoo.host.hooks import Offers, hookimpl, lazy


@hookimpl
def genzoo_components() -> Offers:
    """Objectives, penalties, augmentations, schedules and priors."""
    return [
        lazy("non-saturating", "genzoo.games.objectives:NonSaturating", "the paper's objective (equation 4)"),
        lazy("minimax", "genzoo.games.objectives:Minimax", "the value function itself (equation 1)"),
        lazy("least-squares", "genzoo.games.objectives:LeastSquares", "squared distance to targets 1 and 0"),
        lazy("hinge", "genzoo.games.objectives:Hinge", "margin loss for the critic, linear for the generator"),
        lazy("wasserstein", "genzoo.games.objectives:Wasserstein", "difference of mean logits"),
        lazy("relativistic", "genzoo.games.objectives:Relativistic", "pairs of a row of data and one of samples"),
        lazy("zero-centred", "genzoo.games.penalties:ZeroCentred", "R1 + R2, or R1: squared slopes of the critic"),
        lazy("one-centred", "genzoo.games.penalties:OneCentred", "WGAN-GP's: slopes between the sides of length 1"),
        lazy("diffaugment", "genzoo.games.augmentations:DiffAugment", "colour, translation and cutout of images"),
        lazy("constant", "genzoo.games.number_schedules:Constant", "a number that stays as it is"),
        lazy("linear", "genzoo.games.number_schedules:LinearSchedule", "a number that changes along a line"),
        lazy("cosine", "genzoo.games.number_schedules:CosineSchedule", "a number that changes along a cosine"),
        lazy("simultaneous", "genzoo.games.schedules:Simultaneous", "everyone moves in every step"),
        lazy("alternating", "genzoo.games.schedules:Alternating", "n critic steps, then one generator step"),
        lazy("standard-normal", "genzoo.games.priors:StandardNormal", "independent N(0, 1) in every dimension"),
        lazy("uniform", "genzoo.games.priors:Uniform", "independent and uniform in every dimension"),
        lazy("mixture", "genzoo.games.priors:NormalMixture", "isotropic normals on a circle, or in drawn directions"),
        lazy("categorical-normal", "genzoo.games.priors:CategoricalNormal", "a one-hot category beside N(0, 1)"),
    ]


@hookimpl
def genzoo_executors() -> Offers:
    """Processes on this machine."""
    return [lazy("local", "genzoo.comparison.executors:Local", "processes on this machine, which share its cores")]
