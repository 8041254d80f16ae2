"""How a step is run: compiled and captured steps have the eager one's numbers, and what cannot be so says why."""

import os
import shutil
import warnings
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from stopping import StopAt, files_of
from toy import TOY
from trainers import new_trainer

import genzoo
from genzoo.errors import GenzooWarning, InterruptedRun, SettingsError
from genzoo.storage.run_folder import Run
from genzoo.training import execution
from genzoo.training.batches import map_tensors
from genzoo.training.devices import choose_device, choose_execution, choose_precision
from genzoo.training.execution import (
    Captured,
    arithmetic,
    deterministic_algorithms,
    set_deterministic_products,
)
from genzoo.training.populations import Population
from genzoo.training.trainer import Trainer
from genzoo.types import Batch, DataSpec, Losses
from genzoo_ali.ali import ALI

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
VECTORS = DataSpec(shape=(2,), support="real")
DIGITS = DataSpec(shape=(1, 8, 8), support="unit")
PICTURES = DataSpec(shape=(3, 32, 32), support="unit")

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")


def trainer_of(model, *, how="eager", seed=0, recipe="mixture25-paper", device="cpu", game=None, **overrides):
    """Return a trainer on 16 batches of 8 random rows."""
    found = new_trainer(
        model,
        recipe=recipe,
        seed=seed,
        overrides={"training.batch_size": 8, "training.learning_rate": 1e-4} | overrides,
        device=device,
        execution=how,
    )
    return found if game is None else remade(found, game=game)


def remade(trainer, *, rows=None, **settings):
    """Return a trainer at step 0 with other parts in its settings, or on the first rows alone."""
    settings, split = replace(trainer.settings, **settings), trainer.stream.split
    if rows is not None:
        split = split._replace(x=split.x[:rows], labels=None if split.labels is None else split.labels[:rows])
    return Trainer(settings, split, seed=trainer.seed, device=trainer.device, execution=trainer.execution)


def doubled(trainer):
    """Make a trainer at step 0 compute in float64: a float32 trajectory of the toy task does not stay near its own."""
    trainer.networks.double()
    trainer.build_optimizers()
    single = trainer.stream.batch
    trainer.stream.batch = lambda step: map_tensors(torch.Tensor.double, single(step))
    return trainer


def advanced(trainer, steps):
    return [{name: value.item() for name, value in trainer.take_step().players.items()} for _ in range(steps)]


def apart(one, other):
    """Return the largest difference between two trainers' networks."""
    ours, theirs = one.networks.state_dict(), other.networks.state_dict()
    return max((ours[name] - tensor).abs().max().item() for name, tensor in theirs.items())


def moments_apart(one, other):
    """Return how far apart the first moments of two trainers' gradients are, as a share of their Euclidean norm.

    Weights tell less: where a gradient is nothing but rounding, its sign may differ, and each of Adam's steps with it.
    """
    first, second = (
        torch.cat([value.double().flatten() for name, value in each._moments().items() if name.endswith("/exp_avg")])
        for each in (one, other)
    )
    return ((first - second).norm() / second.norm()).item()


ROUNDING = 1e-3
"""A sum of 1e4 float32 numbers, in an order that algorithms and atomics choose, errs by up to 1e4 times 2^-24."""


def same(one, other):
    ours, theirs = one.state(), other.state()
    return all(torch.equal(ours[part][name], tensor) for part in theirs for name, tensor in theirs[part].items())


# Compiled


def assert_compiled_is_eager(model, *, recipe="mixture25-paper", rows=20, steps=4, **overrides):
    compiled = trainer_of(model, how="compiled", recipe=recipe, **overrides)
    eager = trainer_of(model, recipe=recipe, **overrides)
    # batches of 8 and 8 and, with 20 rows, 4: the last of an epoch is compiled again
    compiled, eager = (doubled(remade(trainer, rows=rows)) for trainer in (compiled, eager))
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        found = advanced(compiled, steps)
    assert found == [pytest.approx(losses, rel=1e-9) for losses in advanced(eager, steps)]
    assert apart(compiled, eager) <= 1e-8


@needs_compiler
def test_a_compiled_step_is_the_eager_one_to_rounding():
    assert_compiled_is_eager("ali", rows=16)


def test_a_batch_of_another_size_is_compiled_again(monkeypatch):
    graphs = []
    monkeypatch.setattr(torch, "compile", lambda graph, **how: graphs.append(graph) or graph)
    assert_compiled_is_eager("ali")
    assert len(graphs) == 2


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "recipe", "overrides"),
    [
        ("ali", "mixture25-paper", {}),
        ("vae", "mixture25-paper", {}),
        ("gan", "mixture25-paper", {"game.objective": "hinge"}),
        ("ali", "mixture25-paper", {"game.schedule": "alternating"}),
        ("conditional-ali", "digits", {"architecture.dropout": 0}),
        ("wgan-gp", "mixture25-paper", {"game.schedule.critic_steps": 2}),
        ("ali", "mixture25-paper", {"game.penalty": "zero-centred", "game.penalty.every": 2}),
    ],
    ids=["ali", "vae", "hinge", "alternating", "conditional-digits", "wgan-gp", "lazy-penalty"],
)
def test_every_compiled_step_is_the_eager_one_to_rounding(model, recipe, overrides):
    assert_compiled_is_eager(model, recipe=recipe, **overrides)


def refused(monkeypatch, *, by):
    """Return what a training says whose steps torch refuses to compile, or whose graph fails; its numbers are eager."""
    compile = torch.compile

    def failing(graph, **how):
        if by == "torch.compile":
            raise ValueError("no such thing\nand more of it")

        def run(*values):
            graph(*values)
            torch.manual_seed(1)
            raise ValueError("no such thing\nand more of it")

        return run

    monkeypatch.setattr(torch, "compile", failing)
    compiled, eager = (trainer_of("ali", how=how, recipe="digits") for how in ("compiled", "eager"))
    with pytest.warns(GenzooWarning) as said:
        found = advanced(compiled, 2)
    monkeypatch.setattr(torch, "compile", compile)
    assert found == advanced(eager, 2)
    assert same(compiled, eager)
    return [str(warning.message) for warning in said]


@pytest.mark.parametrize("by", ["torch.compile", "the graph"])
def test_a_step_that_torch_cannot_compile_runs_as_it_is_written_and_one_warning_says_so(monkeypatch, by):
    assert refused(monkeypatch, by=by) == [
        "torch.compile cannot take the step of ali, which runs as it is written (ValueError: no such thing)"
    ]


def test_a_game_that_waits_for_a_number_is_not_compiled_and_has_the_eager_numbers():
    compiled, eager = (trainer_of("ali", how=how, game=Asking()) for how in ("compiled", "eager"))
    with pytest.warns(GenzooWarning, match="torch.compile cannot take the step of asking, which runs as it is written"):
        found = advanced(compiled, 2)
    assert found == advanced(eager, 2)
    assert same(compiled, eager)


def test_every_kind_of_step_is_traced_once_and_has_the_eager_numbers_to_the_bit(monkeypatch):
    graphs = []

    def compile(graph, *, dynamic, fullgraph):
        graphs.append(graph)
        assert (dynamic, fullgraph) == (False, True)
        return graph

    monkeypatch.setattr(torch, "compile", compile)
    overrides = {"game.schedule": "alternating", "game.penalty": "zero-centred", "game.penalty.every": 2}
    compiled, eager = (
        remade(trainer_of("ali", how=how, recipe="digits", **overrides), rows=20) for how in ("compiled", "eager")
    )
    assert advanced(compiled, 7) == advanced(eager, 7)
    assert same(compiled, eager)
    kinds = {(step % 2, step % 3 == 2) for step in range(7)}  # who moves; whether the batch is the epoch's last
    assert len(graphs) == len(kinds)


# What is chosen


def test_executions_by_name():
    assert choose_execution("auto", CPU) == "eager"
    assert choose_execution("auto", CUDA) == "captured"
    for device in (CPU, CUDA):
        assert choose_execution("eager", device) == "eager"
        assert choose_execution("compiled", device) == "compiled"
    assert choose_execution("captured", CUDA) == "captured"


@pytest.mark.parametrize("name", ["", "Eager", "capture", "fast"])
def test_an_unknown_execution_is_refused_with_those_there_are(name):
    with pytest.raises(
        SettingsError, match=f"no execution called '{name}'\nexecutions: auto, eager, captured, compiled"
    ):
        choose_execution(name, CPU)


def test_on_a_cpu_nothing_is_captured(say):
    with pytest.raises(SettingsError, match="needs a CUDA device"):
        choose_execution("captured", CPU)
    said = say("train", "ali", "--execution", "captured", "--device", "cpu", "--run", "none")
    assert said.code == 2
    assert "--execution captured: a CUDA graph needs a CUDA device" in said.err
    assert "type: --execution auto" in said.err


def test_an_unknown_execution_is_refused_by_the_command_line(say):
    said = say("train", "ali", "--execution", "fast")
    assert said.code == 2
    assert "'auto', 'eager', 'captured', 'compiled'" in said.err


def test_devices_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == choose_device("cpu") == CPU
    for name in ("cuda", "cuda:0"):
        with pytest.raises(SettingsError, match=f"--device {name}: torch finds 0 CUDA devices here"):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(SettingsError, match="cuda:2: torch finds 2"):
        choose_device("cuda:2")


def test_a_rank_has_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert choose_device("cuda") == torch.device("cuda", 1)
    assert choose_device("cuda:0") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", "cuda:-1", ""])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(SettingsError, match="no device called"):
        choose_device(name)


@pytest.mark.parametrize("avx", [False, True])
@pytest.mark.parametrize("amx", [False, True])
def test_a_cpu_takes_bf16_for_pictures_where_it_multiplies_it(monkeypatch, avx, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert choose_precision("auto", "cpu", PICTURES) == ("bf16" if avx or amx else "fp32")
    assert choose_precision("auto", "cpu", DIGITS) == "fp32"
    assert choose_precision("auto", "cpu", VECTORS) == "fp32"
    assert choose_precision("auto", "cpu", replace(VECTORS, shape=(4096,))) == "fp32"
    for spec in (PICTURES, DIGITS, VECTORS):
        assert choose_precision("fp32", "cpu", spec) == "fp32"
        assert choose_precision("bf16", "cpu", spec) == "bf16"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_takes_bf16_for_pictures_from_ampere_on(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", "cuda", PICTURES) == expected
    assert choose_precision("auto", "cuda", DIGITS) == "fp32"


def test_tf32_is_chosen_by_name_alone_and_refused_on_a_cpu(tmp_path):
    for spec in (VECTORS, DIGITS, PICTURES):
        assert choose_precision("tf32", "cpu", spec) == "tf32"
        assert choose_precision("auto", "cpu", spec) != "tf32"
    with pytest.raises(SettingsError) as refused:
        genzoo.train("ali", overrides=TOY, precision="tf32", device="cpu", run=tmp_path / "run")
    assert str(refused.value) == (
        "precision tf32 is arithmetic of CUDA devices, and this training is on the cpu\n"
        "type: --device cuda, or for a new run --precision fp32"
    )
    assert not (tmp_path / "run").exists()


def test_an_unknown_precision_is_refused():
    with pytest.raises(SettingsError, match="no precision called 'fp16'\nprecisions: auto, fp32, tf32, bf16"):
        choose_precision("fp16", "cpu", PICTURES)


# Runs


def test_a_run_remembers_how_it_is_run(tmp_path):
    run = genzoo.train("vae", overrides=TOY, device="cpu", run=tmp_path / "run")
    assert run.record.execution == "eager"
    genzoo.resume(run, steps=6, device="cpu", execution="eager")
    assert run.record.execution == "eager"


@pytest.mark.parametrize("precision", ["auto", "bf16"])
@pytest.mark.parametrize("model", ["ali", "vae"])
def test_a_resumed_run_is_bitwise_the_one_that_never_stopped(tmp_path, model, precision):
    overrides = TOY | {"training.averaging": 0.5}
    known = {"overrides": overrides, "steps": 7, "precision": precision, "device": "cpu"}
    for name, stop in (("whole", 6), ("parts", 3)):
        with pytest.raises(InterruptedRun):
            genzoo.train(model, run=tmp_path / name, callback=StopAt(stop), **known)
    with pytest.raises(InterruptedRun):
        genzoo.resume(tmp_path / "parts", device="cpu", callback=StopAt(6))
    assert Run(tmp_path / "parts").record.precision == ("fp32" if precision == "auto" else precision)
    assert files_of(tmp_path / "parts", 6) == files_of(tmp_path / "whole", 6)


# Captured, where there is no GPU: who is warmed up, captured and replayed


class FakeCuda:
    """What `Captured` asks of torch.cuda, without a device."""

    def __init__(self, monkeypatch, fails=None):
        self.captured, self.replayed, self.fails, self.streams, self.states = [], [], fails, [], []
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "the stream before")
        monkeypatch.setattr(torch.cuda, "set_stream", self.streams.append)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(
            torch.cuda, "default_generators", (SimpleNamespace(graphsafe_set_state=self.states.append),)
        )
        fresh = SimpleNamespace(graphsafe_get_state=lambda: "a fresh state")
        monkeypatch.setattr(torch, "Generator", lambda device: fresh)
        monkeypatch.setattr(Captured, "_warm_up", lambda self, batch, movers: self._step(batch, movers))
        monkeypatch.setattr(execution, "_capture", self.capture)

    def capture(self, step, batch, movers):
        if self.fails is not None:
            raise self.fails
        self.captured.append((movers, len(batch.x)))
        return self

    def replay(self, batch):
        self.replayed.append(len(batch.x))
        return Losses({}, {})


def batch_of(rows):
    return Batch(x=torch.zeros(rows, 2), z=torch.zeros(rows, 2), noise=torch.zeros(rows, 2))


def test_every_kind_of_step_is_warmed_up_three_times_captured_once_and_then_replayed(monkeypatch):
    taken = []
    cuda = FakeCuda(monkeypatch)
    captured = Captured(lambda batch, movers: taken.append((movers, len(batch.x))), name="toy", device=CUDA)
    both, one = ("critic", "generator"), ("critic",)
    kinds = [(both, 8)] * 5 + [(both, 4), (one, 8), (both, 8), (both, 4)] + [(one, 8)] * 3 + [(both, 4)] * 2
    for movers, rows in kinds:
        captured(batch_of(rows), movers)
    assert taken == [(both, 8)] * 3 + [(both, 4), (one, 8), (both, 4), (one, 8), (one, 8), (both, 4)]
    assert cuda.captured == [(both, 8), (one, 8), (both, 4)]
    assert cuda.replayed == [8, 8, 8, 8, 4]


def test_a_step_that_cannot_be_captured_runs_as_written_with_one_warning(monkeypatch):
    taken = []
    FakeCuda(monkeypatch, fails=RuntimeError("operation not permitted when stream is capturing\nmore"))
    captured = Captured(lambda batch, movers: taken.append(len(batch.x)), name="toy", device=CUDA)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for rows in (8, 8, 8, 8, 8, 4, 4, 4, 4):
            captured(batch_of(rows), ("critic",))
    assert taken == [8, 8, 8, 8, 8, 4, 4, 4, 4]
    assert [str(one.message) for one in said] == [
        "the step of toy cannot be captured as a CUDA graph and runs as it is written "
        "(RuntimeError: operation not permitted when stream is capturing)"
    ]


def test_a_failed_capture_sets_the_stream_and_the_default_generator_back(monkeypatch):
    # torch 2.10 and 2.11 leave the capture's stream the current one, and a generator that no longer draws
    cuda = FakeCuda(monkeypatch)
    others = Captured(lambda batch, movers: None, name="others", device=CUDA)
    for _ in range(4):
        others(batch_of(8), ("critic",))
    cuda.fails = RuntimeError("no")
    captured = Captured(lambda batch, movers: None, name="toy", device=CUDA)
    for _ in range(3):
        captured(batch_of(8), ("critic",))
    with pytest.warns(GenzooWarning, match="cannot be captured"):
        captured(batch_of(8), ("critic",))
    assert cuda.streams == ["the stream before"]
    assert cuda.states == ["a fresh state"]
    assert not others._graphs  # they draw from the state that was given up


def test_a_capture_is_dropped_when_parameters_move(monkeypatch):
    trainer, other = trainer_of("ali"), trainer_of("ali", seed=1)
    cuda = FakeCuda(monkeypatch)
    captured = trainer._step._captured = Captured(lambda batch, movers: None, name="toy", device=CUDA)
    for _ in range(4):
        captured(batch_of(8), ("critic",))
    assert len(cuda.captured) == 1
    Population([trainer, other])
    assert not captured._graphs
    for _ in range(4):
        captured(batch_of(8), ("critic",))
    assert len(cuda.captured) == 2


def test_on_a_cpu_arithmetic_changes_nothing():
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = products.fp32_precision, convolutions.fp32_precision, torch.backends.cudnn.benchmark
    with arithmetic(CPU):
        assert (products.fp32_precision, convolutions.fp32_precision, torch.backends.cudnn.benchmark) == before


def readings():
    """Return what every setting of float32's precision says, None where torch refuses to tell."""
    backends = torch.backends
    readable = {
        "products": torch.get_float32_matmul_precision,
        "products.allow_tf32": lambda: backends.cuda.matmul.allow_tf32,
        "convolutions.allow_tf32": lambda: backends.cudnn.allow_tf32,
    }
    places = {
        "matmul": backends.cuda.matmul,
        "conv": backends.cudnn.conv,
        "rnn": backends.cudnn.rnn,
        "host": backends.mkldnn.matmul,
    }
    told = {name: place.fp32_precision for name, place in places.items()} | {"benchmark": backends.cudnn.benchmark}
    for name, setting in readable.items():
        try:
            told[name] = setting()
        except RuntimeError:
            told[name] = None
    return told


def set_inheriting():
    torch.backends.fp32_precision = "tf32"


def set_products():
    torch.backends.cuda.matmul.fp32_precision = "tf32"


def set_convolutions():
    torch.backends.cudnn.conv.fp32_precision = "ieee"


def forbid_convolutions():
    torch.backends.cudnn.allow_tf32 = False


@pytest.fixture
def settings_of_torch():
    """Set torch's float32 precision back to what a new process has."""
    before = torch.backends.fp32_precision
    yield
    torch.backends.fp32_precision = before
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for place in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):
        place.fp32_precision = "none"


@pytest.mark.parametrize(
    "set_by_caller",
    [
        lambda: None,
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: torch.set_float32_matmul_precision("medium"),
        set_inheriting,
        set_products,
        set_convolutions,
        forbid_convolutions,
    ],
    ids=["nothing", "high", "medium", "everything", "products", "convolutions", "no-tf32-convolutions"],
)
@pytest.mark.usefixtures("settings_of_torch")
def test_arithmetic_on_cuda_is_ieee_by_every_setting_inside_and_the_callers_outside(set_by_caller):
    set_by_caller()
    before = readings()
    expected = dict.fromkeys(("matmul", "conv", "rnn", "host"), "ieee") | {
        "benchmark": True,
        "products": "highest",
        "products.allow_tf32": False,
        "convolutions.allow_tf32": False,
    }
    with arithmetic(CUDA, benchmark=True):
        assert readings() == expected
        torch.set_float32_matmul_precision("high")  # as a callback may do
        with arithmetic(CUDA):
            assert readings() == expected | {"benchmark": False}
        torch.set_float32_matmul_precision("highest")
    assert readings() == before
    tf32 = dict.fromkeys(("matmul", "conv", "rnn", "host"), "tf32")
    tf32 |= {"products": "high", "products.allow_tf32": True, "convolutions.allow_tf32": True}
    with arithmetic(CUDA, benchmark=True, tf32=True):
        assert readings() == expected | tf32
        with arithmetic(CUDA):
            assert readings() == expected | {"benchmark": False}
        assert readings() == expected | tf32
    assert readings() == before
    with pytest.raises(ValueError, match="inside"), arithmetic(CUDA):
        raise ValueError("inside")
    assert readings() == before


def algorithms():
    """Return how torch chooses among algorithms."""
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
    )


@pytest.mark.parametrize("warn_only", [None, False, True])
def test_deterministic_algorithms_are_taken_inside_and_the_callers_outside(warn_only):
    if warn_only is not None:
        torch.use_deterministic_algorithms(True, warn_only=warn_only)
    before = algorithms()
    try:
        with deterministic_algorithms(CPU):
            assert algorithms() == before
        with deterministic_algorithms(CUDA):
            assert algorithms() == (True, False, True)
        assert algorithms() == before
        with pytest.raises(ValueError, match="inside"), deterministic_algorithms(CUDA):
            raise ValueError("inside")
        assert algorithms() == before
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("value", "has_started", "expected"),
    [
        (None, False, ":4096:8"),
        (":16:8", True, ":16:8"),
        (None, True, "and it is not"),
        (":0:0", False, "and it is :0:0"),
    ],
)
def test_products_are_deterministic_or_a_line_says_what_to_type(monkeypatch, value, has_started, expected):
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setenv(name, value or "")
    if value is None:
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: has_started)
    if expected.startswith(":"):
        set_deterministic_products()
        assert os.environ[name] == expected
        return
    with pytest.raises(SettingsError, match=f"{expected}\ntype: export {name}=:4096:8"):
        set_deterministic_products()


def test_a_run_remembers_that_it_is_deterministic_and_is_continued_so(tmp_path):
    chosen = {"overrides": TOY | {"training.horizon": 8}, "device": "cpu"}
    run = genzoo.train("ali", **chosen, deterministic=True, steps=4, run=tmp_path / "run")
    assert run.record.deterministic
    again = genzoo.train("ali", **chosen, steps=6, run=run.path)
    assert again.step == 6
    assert again.record.deterministic
    assert genzoo.resume(run, steps=8, device="cpu").record.deterministic
    plain = genzoo.train("ali", **chosen, steps=8, run=tmp_path / "plain")
    assert not plain.record.deterministic
    assert files_of(run.path, 8) == files_of(plain.path, 8)  # on a CPU it changes no number
    with pytest.raises(SettingsError, match="was started with other settings: deterministic: "):
        genzoo.train("ali", **chosen, deterministic=True, run=tmp_path / "plain")


# On a GPU


def gpu(test):
    """Mark a test as one that needs a GPU, and leave it out where there is none."""
    skipped = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    return pytest.mark.gpu(skipped(test))


CASES = [
    ("ali", "mixture25-paper", {}),
    ("ali", "mixture25", {}),
    ("gan", "mixture25-paper", {"game.objective": "hinge"}),
    ("vae", "mixture25-paper", {"training.averaging": 0.5}),
    ("wgan-gp", "mixture25-paper", {"game.schedule.critic_steps": 2}),
    ("ali", "digits", {"architecture.dropout": 0.5}),
    ("conditional-ali", "digits", {"architecture.dropout": 0.2, "game.schedule": "alternating"}),
]
STEPS = 24
"""With 20 rows in batches of 8, every third batch has 4; each kind is warmed up 3 times before it is captured."""


def on_gpu(model, recipe, overrides, *, how, seed=0):
    return remade(trainer_of(model, how=how, recipe=recipe, device="cuda", seed=seed, **overrides), rows=20)


def graphs_of(run):
    assert not run._gave_up
    return len(run._graphs)


@gpu
@pytest.mark.parametrize(("model", "recipe", "overrides"), CASES)
def test_a_captured_step_is_the_eager_one_masks_and_partial_batches_included(model, recipe, overrides):
    captured, eager = (on_gpu(model, recipe, overrides, how=how) for how in ("captured", "eager"))
    found, expected = advanced(captured, STEPS), advanced(eager, STEPS)
    kinds = 1 if captured.settings.game.movers(0, ("a", "b")) == ("a", "b") else 2
    assert graphs_of(captured._step._captured) == 2 * kinds
    # the same kernels: what differs is the algorithm that cuDNN chose, and the order in which atomics added
    assert found == [pytest.approx(losses, rel=1e-4, abs=1e-4) for losses in expected]
    assert moments_apart(captured, eager) < ROUNDING
    assert captured.step == eager.step == STEPS
    assert captured.fault() is None


@gpu
def test_what_a_captured_step_draws_is_a_function_of_seed_and_step():
    whole = on_gpu("ali", "digits", {"architecture.dropout": 0.5}, how="captured")
    advanced(whole, STEPS - 2)
    kept = whole.state()
    expected = advanced(whole, 2)
    torch.manual_seed(99)
    whole.restore(kept, step=STEPS - 2)
    assert advanced(whole, 2) == [pytest.approx(losses, rel=1e-5, abs=1e-5) for losses in expected]


@gpu
def test_a_captured_trainer_goes_on_from_a_restored_state():
    captured, eager = (
        on_gpu("ali", "mixture25-paper", {"training.averaging": 0.5}, how=how) for how in ("captured", "eager")
    )
    advanced(eager, 5)
    advanced(captured, STEPS)
    captured.restore(eager.state(), step=5)
    found, expected = advanced(captured, 6), advanced(eager, 6)
    assert found == [pytest.approx(losses, rel=1e-5, abs=1e-5) for losses in expected]
    assert moments_apart(captured, eager) < ROUNDING
    ours, theirs = captured.state(), eager.state()
    for name, tensor in theirs["averaged"].items():
        assert (ours["averaged"][name] - tensor).norm() <= ROUNDING * tensor.norm()


@gpu
def test_the_losses_of_a_replayed_step_are_the_callers_to_keep():
    trainer = on_gpu("ali", "mixture25-paper", {}, how="captured")
    kept = [trainer.take_step() for _ in range(STEPS)]
    again = on_gpu("ali", "mixture25-paper", {}, how="eager")
    for losses in kept:
        expected = again.take_step()
        for name, value in expected.players.items():
            assert losses.players[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-4)
        assert list(losses.watch) == list(expected.watch)


@gpu
@pytest.mark.parametrize("how", ["captured", "eager"])
@pytest.mark.parametrize(("model", "recipe", "overrides"), CASES)
def test_between_two_log_entries_the_host_waits_for_nothing(how, model, recipe, overrides):
    trainer = on_gpu(model, recipe, overrides, how=how)
    advanced(trainer, STEPS)  # warmed up and captured
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(20):
            trainer.take_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trainer.fault() is None


@gpu
@pytest.mark.parametrize(
    ("model", "recipe"), [("ali", "mixture25-paper"), ("vae", "mixture25-paper"), ("gan", "digits")]
)
def test_a_captured_population_is_its_trainings_alone(model, recipe):
    overrides = {} if recipe == "mixture25-paper" else {"architecture.dropout": 0}
    together, alone = ([on_gpu(model, recipe, overrides, how="captured", seed=seed) for seed in range(3)] for _ in "ab")
    population = Population(together)
    assert population.obstacle() is None
    for _ in range(STEPS):
        losses = population.take_step()
    assert graphs_of(population._step._captured) == 2
    for ours, one, other in zip(losses, together, alone, strict=True):
        assert advanced(other, STEPS)[-1] == pytest.approx(
            {name: value.item() for name, value in ours.players.items()}, rel=1e-3, abs=1e-3
        )
        assert moments_apart(one, other) < ROUNDING
        assert one.fault() is None


@dataclass(frozen=True, kw_only=True)
class Asking(ALI):
    """ALI that asks the device for a number in every step."""

    name: ClassVar[str] = "asking"

    def losses(self, networks, batch, movers):
        found = super().losses(networks, batch, movers)
        found.players["critic"].item()
        return found


@gpu
@pytest.mark.parametrize("recipe", ["mixture25-paper", "digits"], ids=["without-dropout", "with-dropout"])
def test_a_game_that_waits_for_the_device_is_not_captured_and_has_the_eager_numbers(recipe):
    captured, eager = (
        trainer_of("ali", how=how, device="cuda", game=Asking(), recipe=recipe) for how in ("captured", "eager")
    )
    stream = torch.cuda.current_stream()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = advanced(captured, 8)
    (one,) = [str(warning.message) for warning in said if issubclass(warning.category, GenzooWarning)]
    assert one.startswith("the step of asking cannot be captured as a CUDA graph and runs as it is written (")
    assert found == [pytest.approx(losses, rel=1e-4, abs=1e-4) for losses in advanced(eager, 8)]
    assert captured.fault() is None
    assert torch.cuda.current_stream() == stream


@gpu
@pytest.mark.parametrize("how", ["captured", "eager"])
def test_on_a_gpu_a_fault_is_found_at_its_step(how):
    trainer = on_gpu("ali", "mixture25-paper", {}, how=how)
    advanced(trainer, STEPS)
    with torch.no_grad():
        trainer.networks.critic.joint.layers[1][0].weight[3, 4] = float("nan")
    for _ in range(5):
        trainer.take_step()
    assert trainer.fault().step == STEPS + 1


@gpu
def test_training_on_a_gpu_leaves_the_callers_arithmetic():
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "tf32"
    try:
        on_gpu("ali", "mixture25-paper", {}, how="captured").take_step()
        assert products.fp32_precision == "tf32"
    finally:
        products.fp32_precision = before


@gpu
def test_a_gpu_and_a_cpu_begin_with_the_same_losses():
    one, other = trainer_of("ali"), trainer_of("ali", device="cuda")
    batch = one.stream.batch(0)
    found = other._step.gradients(map_tensors(torch.Tensor.cuda, batch), other.movers())
    expected = one._step.gradients(batch, one.movers())
    for name, value in expected[0].players.items():
        assert found[0].players[name].item() == pytest.approx(value.item(), rel=1e-5)


@gpu
def test_a_run_on_a_gpu_is_captured_and_says_so(tmp_path):
    run = genzoo.train("ali", overrides=TOY | {"training.steps": 12}, device="cuda", run=tmp_path / "run")
    assert run.record.execution == "captured"
    assert run.record.device == "cuda:0"
    assert genzoo.resume(run, steps=16, device="cuda").step == 16
