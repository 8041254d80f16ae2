"""genzoo: generative models with inference, where a model is a small plugin and everything else is shared.

The public names are listed in `__init__.pyi` and imported when first used: `import genzoo` never imports torch.
"""

import os

from genzoo.public.names import attach

if os.name == "nt":
    raise ImportError("genzoo runs on Linux and macOS; on Windows, install it inside WSL 2")

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)
