from .callbacks import Callback as Callback
from .exporting import export_run as export_run
from .job import default_recipe as default_recipe
from .opening import new_trainer as new_trainer
from .request import ExecutionName as ExecutionName
from .request import PrecisionName as PrecisionName
from .request import TrainingRequest as TrainingRequest
from .session import train_together as train_together
