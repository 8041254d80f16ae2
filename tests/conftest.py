"""What every test shares: one thread per process, because two processes that spin on two cores starve each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
