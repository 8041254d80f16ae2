from .settings import PlayerTraining as PlayerTraining
from .settings import Recipe as Recipe
from .settings import Settings as Settings
from .settings import Training as Training
from .trainer import Trainer as Trainer
