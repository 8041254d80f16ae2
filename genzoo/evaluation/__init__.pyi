from .costs import forward_macs as forward_macs
from .metrics import Metric as Metric
from .metrics import Score as Score
from .model import Model as Model
from .model import Rows as Rows
