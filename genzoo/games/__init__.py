"""Games: the rules by which networks are trained, their objectives, schedules and priors."""

from genzoo.public.names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
