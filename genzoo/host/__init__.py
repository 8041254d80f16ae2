"""The plugin host: hooks, discovery, the registry, and the isolation of plugins' code."""
