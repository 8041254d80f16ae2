"""Networks: the interfaces of encoder, decoder and critic, and networks made of layer tables."""

from genzoo.public.names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
