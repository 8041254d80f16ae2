"""Training in memory: settings, initial weights, batches, devices and the trainer."""
