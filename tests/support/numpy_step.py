"""A step of a game of q(x, z) against p(x, z), written out by hand in numpy; it shares no code with genzoo.

The networks are fully connected: batch norm and ReLU in encoder and decoder, maxout of five pieces in the critic.
"""

import numpy

HIDDEN = {
    "encoder": ["encoder.body.layers.0", "encoder.body.layers.1"],
    "decoder": [f"decoder.stack.layers.{number}" for number in range(4)],
}
OUTPUT = {"encoder": "encoder.head.layers.0", "decoder": "decoder.stack.layers.4"}
MAXOUT = [f"critic.joint.layers.{number}" for number in range(3)]
LOGIT = "critic.joint.layers.3"
EPSILON = 1e-4


def forward_mlp(state, part, h):
    """Run linear → batch norm over the minibatch → ReLU, some times, then linear; keep what backward needs."""
    kept = []
    for name in HIDDEN[part]:
        a = h @ state[f"{name}.0.weight"].T
        mean, variance = a.mean(0), ((a - a.mean(0)) ** 2).mean(0)
        normal = (a - mean) / numpy.sqrt(variance + EPSILON)
        b = state[f"{name}.1.weight"] * normal + state[f"{name}.1.bias"]
        kept.append((h, normal, variance, b, mean))
        h = numpy.maximum(b, 0)
    name = f"{OUTPUT[part]}.0"
    return h @ state[f"{name}.weight"].T + state[f"{name}.bias"], (kept, h)


def backward_mlp(state, part, kept, slope):
    kept, last = kept
    name = f"{OUTPUT[part]}.0"
    gradients = {f"{name}.weight": slope.T @ last, f"{name}.bias": slope.sum(0)}
    slope = slope @ state[f"{name}.weight"]
    for name, (h, normal, variance, b, _) in reversed(list(zip(HIDDEN[part], kept, strict=True))):
        slope = slope * (b > 0)
        gradients[f"{name}.1.weight"] = (slope * normal).sum(0)
        gradients[f"{name}.1.bias"] = slope.sum(0)
        slope = slope * state[f"{name}.1.weight"]
        slope = (slope - slope.mean(0) - normal * (slope * normal).mean(0)) / numpy.sqrt(variance + EPSILON)
        gradients[f"{name}.0.weight"] = slope.T @ h
        slope = slope @ state[f"{name}.0.weight"]
    return gradients


def forward_critic(state, pairs):
    h, kept = pairs, []
    for name in MAXOUT:
        a = h @ state[f"{name}.0.weight"].T + state[f"{name}.0.bias"]
        pieces = a.reshape(len(a), -1, 5)
        kept.append((h, pieces.argmax(2)))
        h = pieces.max(2)
    logits = h @ state[f"{LOGIT}.0.weight"].T + state[f"{LOGIT}.0.bias"]
    return logits[:, 0], (kept, h)


def backward_critic(state, kept, slope):
    """Return the gradients of the critic's parameters and of its input, for a slope per logit."""
    kept, last = kept
    slope = slope[:, None]
    gradients = {f"{LOGIT}.0.weight": slope.T @ last, f"{LOGIT}.0.bias": slope.sum(0)}
    slope = slope @ state[f"{LOGIT}.0.weight"]
    for name, (h, winners) in reversed(list(zip(MAXOUT, kept, strict=True))):
        spread = numpy.zeros((*slope.shape, 5))
        numpy.put_along_axis(spread, winners[:, :, None], slope[:, :, None], axis=2)
        spread = spread.reshape(len(slope), -1)
        gradients[f"{name}.0.weight"] = spread.T @ h
        gradients[f"{name}.0.bias"] = spread.sum(0)
        slope = spread @ state[f"{name}.0.weight"]
    return gradients, slope


def sp(t):
    return numpy.log1p(numpy.exp(t))


def sigmoid(t):
    return 1 / (1 + numpy.exp(-t))


def losses_and_gradients(state, x, z, noise):
    """Return L_d, L_g and every gradient of a round of ALI (equation 4), all at `state`."""
    rows = len(x)
    codes, encoder_kept = forward_mlp(state, "encoder", numpy.concatenate([x, noise], 1))
    samples, decoder_kept = forward_mlp(state, "decoder", z)
    pairs = numpy.concatenate([numpy.concatenate([x, codes], 1), numpy.concatenate([samples, z], 1)])
    logits, critic_kept = forward_critic(state, pairs)
    q, p = logits[:rows], logits[rows:]
    losses = {"critic": sp(-q).mean() + sp(p).mean(), "generator": sp(q).mean() + sp(-p).mean()}
    critic, _ = backward_critic(state, critic_kept, numpy.concatenate([-sigmoid(-q), sigmoid(p)]) / rows)
    _, by_pairs = backward_critic(state, critic_kept, numpy.concatenate([sigmoid(q), -sigmoid(-p)]) / rows)
    encoder = backward_mlp(state, "encoder", encoder_kept, by_pairs[:rows, 2:])
    decoder = backward_mlp(state, "decoder", decoder_kept, by_pairs[rows:, :2])
    statistics = {
        name: (mean, variance * rows / (rows - 1))
        for part, kept in (("encoder", encoder_kept), ("decoder", decoder_kept))
        for name, (_, _, variance, _, mean) in zip(HIDDEN[part], kept[0], strict=True)
    }
    return losses, {"critic": critic, "generator": {**encoder, **decoder}}, statistics


class Reference:
    """The game with an Adam per player."""

    def __init__(self, networks):
        self.state = {name: tensor.numpy().copy() for name, tensor in networks.state_dict().items()}
        self.moments = {}

    def take_step(self, batch, movers=("critic", "generator")):
        losses, gradients, statistics = losses_and_gradients(self.state, *(part.numpy() for part in batch[:3]))
        for name, (mean, variance) in statistics.items():
            for key, value in (("running_mean", mean), ("running_var", variance)):
                key = f"{name}.1.{key}"
                self.state[key] = 0.95 * self.state[key] + 0.05 * value
        for player in movers:
            for name, gradient in gradients[player].items():
                self._adam(f"{player}/{name}", name, gradient)
        return losses

    def _adam(self, key, name, g):
        m, v, t = self.moments.get(key, (0.0, 0.0, 0))
        m, v, t = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2, t + 1
        self.moments[key] = (m, v, t)
        self.state[name] = self.state[name] - 1e-3 * (m / (1 - 0.5**t)) / (numpy.sqrt(v / (1 - 0.999**t)) + 1e-8)


def assert_equal_to(reference, trainer):
    """Compare networks and Adam states to 1e-9 of the largest element of each tensor."""
    state = trainer.state()
    assert state["networks"].keys() == reference.state.keys()
    for name, expected in reference.state.items():
        close(state["networks"][name].numpy(), expected, name)
    moments = state["optimizers"]
    assert {key.rpartition("/")[0] for key in moments} >= reference.moments.keys()
    for key, (m, v, t) in reference.moments.items():
        close(moments[f"{key}/exp_avg"].numpy(), m, key)
        close(moments[f"{key}/exp_avg_sq"].numpy(), v, key)
        assert moments[f"{key}/step"].item() == t


def close(found, expected, name):
    assert found.shape == numpy.shape(expected)
    assert numpy.abs(found - expected).max() <= 1e-9 * numpy.abs(expected).max(), name


def small_state(random, hidden=6, units=4):
    """Return random parameters for the reference's networks, with few units."""
    state = {}

    def linear(name, given, gives, bias):
        state[f"{name}.0.weight"] = random.normal(size=(gives, given)) / given**0.5
        if bias:
            state[f"{name}.0.bias"] = random.normal(size=gives)

    for part, given in (("encoder", 4), ("decoder", 2)):
        for name in HIDDEN[part]:
            linear(name, given, hidden, bias=False)
            state[f"{name}.1.weight"] = random.normal(size=hidden)
            state[f"{name}.1.bias"] = random.normal(size=hidden)
            given = hidden
        linear(OUTPUT[part], hidden, 2, bias=True)
    for number, name in enumerate(MAXOUT):
        linear(name, units if number else 4, 5 * units, bias=True)
    linear(LOGIT, units, 1, bias=True)
    return state
