"""The networks of a run before its first step: built, inherited, and given their initial weights."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from genzoo.errors import SettingsError
from genzoo.nn.interfaces import Networks, modules_that_keep_their_start
from genzoo.nn.layers import is_spectrally_normalised, normalise_spectrally
from genzoo.randomness import seeded
from genzoo.training.settings import Settings


def initial_networks(
    settings: Settings, images: Tensor, *, seed: int, inherited: dict[str, Tensor] | None = None
) -> Networks:
    """Return the networks with their initial weights, on the CPU, so that all devices start from the same numbers.

    `images` (up to 500, *shape) are training rows for the architecture's data-dependent initialisation; `inherited` is
    the state of the source run's networks, loaded last.
    """
    _refuse_what_is_needed(settings)
    with seeded(seed, "build"):
        networks = assemble(settings)
    draw_weights(networks, std=settings.architecture.init_std, seed=seed)
    with seeded(seed, "initialise"):
        settings.architecture.initialise(networks, images)
    if inherited is not None:
        for part in settings.game.inherits:
            _load_part(networks.frozen[part], f"{part}.", inherited)
    return networks


def built(settings: Settings) -> Networks:
    """Return the networks that the game itself builds, with arbitrary weights."""
    networks = settings.game.build(settings.architecture, settings.dataset.spec)
    settings.game.add_heads(networks, settings.setup)
    return networks


def assemble(settings: Settings) -> Networks:
    """Return the networks of these settings with arbitrary weights, the inherited parts in place and frozen."""
    networks = built(settings)
    settings.game.extend(networks, settings.dataset.spec)
    if not settings.game.inherits:
        if settings.source is not None:
            raise SettingsError(f"{settings.game.name} inherits nothing", "leave out --from")
        return networks
    if settings.source is None:
        parts = " and ".join(settings.game.inherits)
        raise SettingsError(f"{settings.game.name} takes its {parts} from another run", "add: --from RUN")
    _check_fit(settings, settings.source)
    source_networks = assemble(settings.source)
    for name in settings.game.inherits:
        part = getattr(source_networks, name, None)
        if not isinstance(part, nn.Module):
            raise SettingsError(
                f"the run given as --from is of {settings.source.game.name}: no {name}",
                "name a run of another model: --from RUN",
            )
        networks.freeze(name, part)
    settings.game.compose(networks, settings.setup, settings.source.setup)
    return networks


def draw_weights(networks: Networks, *, std: float | None, seed: int) -> None:
    """Draw every layer's initial weights as a function of (seed, the layer's name).

    With a `std`, weights of linear maps and convolutions are N(0, std²) and their biases 0; every other layer,
    and all layers if `std` is None, use their own `reset_parameters`. Two games that share an architecture therefore
    start from the same decoder. Modules declared with `keeps_start` are left as they were built.
    """
    untouched = modules_that_keep_their_start(networks)
    for name, module in list(networks.named_modules()):
        has_weights = any(True for _ in module.parameters(recurse=False)) or is_spectrally_normalised(module)
        if module not in untouched and has_weights:
            with seeded(seed, "weights", name):
                _draw(module, std)


def _load_part(part: nn.Module, prefix: str, state: dict[str, Tensor]) -> None:
    part.load_state_dict({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})


def _draw(module: nn.Module, std: float | None) -> None:
    if is_spectrally_normalised(module):
        # Drawn as without the norm, whose estimate of the singular value then begins anew with the drawn weight.
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
        _draw(module, std)
        normalise_spectrally(module)
        return
    if std is not None and isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        with torch.no_grad():
            module.weight.normal_(0, std)
            if module.bias is not None:
                module.bias.zero_()
        return
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


def _refuse_what_is_needed(settings: Settings) -> None:
    """Raise `SettingsError` if the game needs what these settings lack."""
    game = settings.game
    lack = game.needs(settings.setup)
    if lack is not None:
        raise SettingsError(f"{game.name} needs {lack}", "choose another recipe, or change its parts with --set")


def _check_fit(settings: Settings, source: Settings) -> None:
    wanted = settings.game.inherits_from
    if wanted is not None and not isinstance(source.game, wanted):
        found = f"the run given as --from is of {source.game.name}, and {settings.game.name} needs one of {wanted.name}"
        raise SettingsError(found, f"train one with: genzoo train {wanted.name}")
    ours, theirs = settings.dataset.spec, source.dataset.spec
    for what, left, right in (
        ("shape of x", ours.shape, theirs.shape),
        ("support of x", ours.support, theirs.support),
    ):
        if left != right:
            raise SettingsError(
                f"the {what} is {left} here and {right} in the run given as --from",
                "name another run, or choose the recipe and settings that it has",
            )
