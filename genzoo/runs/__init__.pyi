from .callbacks import Callback as Callback
from .job import default_recipe as default_recipe
