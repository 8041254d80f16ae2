from .studies import Budget as Budget
from .studies import Lab as Lab
from .studies import Study as Study
from .studies import Trial as Trial
