"""Games: the rules by which networks are trained, their objectives, schedules and priors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
