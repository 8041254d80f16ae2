from .costs import step_flops as step_flops
from .decodings import Decodings as Decodings
from .metrics import Metric as Metric
from .metrics import Score as Score
from .model import Model as Model
from .model import Neighbours as Neighbours
from .model import Rows as Rows
