"""The kinds of warnings that the collapse monitor gives."""

KINDS = {
    "always right": "training.players.critic.learning_rate",
    "always wrong": "training.players.critic.learning_rate",
    "nearly all alike": "training.learning_rate",
}


def kind_of(text):
    """Return the kind of a warning, which names one setting to change."""
    (kind,) = (kind for kind in KINDS if kind in text)
    assert KINDS[kind] in text
    return kind
