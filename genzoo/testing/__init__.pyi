from .checking import Check as Check
from .checking import CheckFailed as CheckFailed
from .kit import batch as batch
from .kit import checks as checks
from .kit import parametrize as parametrize
