"""Training steps on fake CUDA tensors, on a machine without a GPU: what a step asks of the device, and where.

A fake tensor has a shape, strides, a type and a device, and no numbers. So a step shows which operations it takes,
where the host would wait, what would be copied between devices, and in which layout gradients lie; it shows no kernel,
no capture and no time. Autograd asks the CUDA driver about devices, so a stub of it is compiled and loaded before
torch: this file is a program as well, which takes a step per line on stdin. `FakeCuda` starts it and speaks to it.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

DEVICES = 8  # as many as torch takes for granted where a guard does nothing
_NO_KERNEL = {
    "_conj",
    "_reshape_alias",
    "_unsafe_view",
    "alias",
    "as_strided",
    "chunk",
    "detach",
    "device",
    "diagonal",
    "empty",
    "empty_like",
    "empty_strided",
    "expand",
    "lift_fresh",
    "narrow",
    "new_empty",
    "new_empty_strided",
    "permute",
    "reshape",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "t",
    "transpose",
    "unbind",
    "unfold",
    "unsqueeze",
    "view",
}
"""Operations that read and write no memory of the device."""
_WAITING = {"_local_scalar_dense", "_unique2", "equal", "is_nonzero", "masked_select", "nonzero", "unique_dim"}
"""Operations whose result the host waits for."""
_DRAWS = {"bernoulli", "multinomial", "normal_", "rand", "rand_like", "randint", "randn", "randn_like", "randperm"}


def obstacle():
    """Return why there can be no fake CUDA here, or None."""
    missing = [tool for tool in ("gcc", "nm") if shutil.which(tool) is None]
    if missing:
        return f"no {' and no '.join(missing)} here to compile a stub of the CUDA driver"
    return None if (_torch() / "lib" / "libcaffe2_nvrtc.so").exists() else "this torch was built without CUDA"


def names_of(kind):
    """Return the models or recipes that are installed."""
    from genzoo.host.discovery import registry

    return [entry.name for entry in registry().of(kind)]


def models_on_recipes():
    """Return (model, recipe) for all models on vectors, small images and large ones, and for three on the paper's.

    ALI, which has all three networks, is on every recipe. All other pairs are marked as slow.
    """
    import pytest

    def is_slow(model, recipe):
        return model != "ali" and recipe not in _OF_ALL_MODELS and (model not in _ON_MOST or recipe in _OF_ALI)

    pairs = [(model, recipe) for model in names_of("models") for recipe in names_of("recipes")]
    return [pytest.param(*pair, marks=pytest.mark.slow if is_slow(*pair) else ()) for pair in pairs]


_ON_MOST = {"vae", "conditional-ali"}
_OF_ALL_MODELS = {"mixture25", "digits", "cifar10", "svhn"}
_OF_ALI = {"dcgan32", "dcgan64", "sn-resnet32", "r3gan32", "r3gan64"}


class FakeCuda:
    """The program that takes steps on fake CUDA tensors, started with a driver stub in `folder`."""

    def __init__(self, folder):
        command = [sys.executable, __file__, str(compile_driver(folder))]
        self._program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def step(self, model, recipe, precision, **more):
        """Return what a step of a training did, or why genzoo refuses it; raise if it failed."""
        request = {"model": model, "recipe": recipe, "precision": precision, **more}
        self._program.stdin.write(json.dumps(request) + "\n")
        self._program.stdin.flush()
        answer = json.loads(self._program.stdout.readline())
        assert "failed" not in answer, answer["failed"]
        return answer

    def close(self):
        """End the program."""
        self._program.stdin.close()
        self._program.wait()
        self._program.stdout.close()


def compile_driver(folder):
    """Compile a library that passes for libcuda.so.1, with which c10 counts as many devices as it is told."""
    undefined = subprocess.run(
        ["nm", "-D", "--undefined-only", _torch() / "lib" / "libcaffe2_nvrtc.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    asked = {"cuDevicePrimaryCtxGetState"}
    failing = sorted(set(re.findall(r"\bcu[A-Z]\w*", undefined)) - asked)
    source, library = folder / "driver.c", folder / "libcuda.so.1"
    source.write_text(
        "static signed char devices = 0;\n"
        "void set_devices(int count) { devices = count; }\n"
        "signed char _ZN3c104cuda12device_countEv(void) { return devices; }\n"
        "int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = *active = 0; return 0; }\n"
        + "".join(f"int {name}(void) {{ return 999; }}\n" for name in failing)
    )
    subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, source], check=True)
    return library


def _torch():
    return Path(find_spec("torch").origin).parent


# The program


def serve(library):
    """Take the steps that stdin asks for, a line each, and answer with a line each."""
    driver = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)  # before torch, whose own symbols it stands in for
    answers, sys.stdout = sys.stdout, sys.stderr
    pretend(driver)
    for line in sys.stdin:
        try:
            answer = observed(**json.loads(line))
        except Exception:
            answer = {"failed": traceback.format_exc()[-9000:]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def pretend(driver):
    """Make torch, of which there is no real device, answer as on a machine of several Hopper GPUs."""
    import torch
    from torch._subclasses import fake_impls, fake_tensor

    torch._C._ensureCUDADeviceGuardSet()  # a guard that does nothing, for which there may be no device yet
    torch._C._ensureCUDADeviceGuardSet = fake_tensor.init_gpu_context = lambda *device: None
    driver.set_devices(DEVICES)
    forget_checks_of_values()
    torch.nn.Module._apply = replace_tensors
    fake_tensor.FakeTensorMode.__deepcopy__ = lambda mode, memo: mode  # copies of fake tensors stay in their world

    class Generator(torch.Generator):
        def __new__(cls, device="cpu"):
            made = super().__new__(cls, "cpu")
            made.where = torch.device(device)
            return made

        @property
        def device(self):
            return self.where

        def manual_seed(self, seed):
            self.seeds = [*getattr(self, "seeds", []), seed]
            return super().manual_seed(seed)

    torch.Generator = Generator
    # Adam with its learning rate in a tensor has no rule for fake tensors
    fake_impls.register_op_impl(torch.ops.aten._fused_adam_.tensor_lr)(lambda mode, adam, *lists, **more: None)
    cuda, now = torch.cuda, [0]

    def exchange(index):
        before = now[0]
        now[0] = index if index >= 0 else before
        return before

    cuda._exchange_device = cuda._maybe_exchange_device = exchange
    cuda.current_device = lambda: now[0]
    cuda.device_count = lambda: DEVICES
    cuda.default_generators = tuple(Generator(f"cuda:{number}") for number in range(DEVICES))
    cuda.get_device_capability = lambda *device: (9, 0)
    cuda.get_rng_state_all = list
    cuda.is_available = lambda: False  # else optimizers ask the driver whether a stream is capturing
    cuda.is_bf16_supported = lambda *device, **more: True
    cuda.is_initialized = lambda: True
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # as where CUDA has started, it is too late
    cuda.mem_get_info = lambda *device: (139 << 30, 141 << 30)
    cuda.set_rng_state_all = lambda states: None
    for module in (torch.amp.autocast_mode, torch.cuda.amp.common):
        module.amp_definitely_not_available = lambda: False
    # cuDNN takes every convolution, in the layout that ATen suggests for its input and weight
    torch._C._select_conv_backend = convolution_by_cudnn
    torch._C._conv_determine_backend_memory_format = lambda x, weight, backend: layout_of(x, weight)


def forget_checks_of_values():
    """Leave out what a trainer asks of the numbers of its data and of a first step: fake tensors have none."""
    from genzoo.training import trainer

    trainer.check_before_the_first_step = lambda *parts: None


def replace_tensors(module, change, recurse=True):
    """Apply `change` to a module's tensors: to new ones, as a fake tensor cannot be given data on another device."""
    import torch

    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = torch.nn.Parameter(change(parameter.detach()), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = change(buffer)
    return module


def convolution_by_cudnn(*values, **named):
    """Return which of cuDNN's convolutions is taken for arguments given by place or, in older versions, by name."""
    import torch

    kinds = torch._C._ConvBackend
    transposed = named["transposed"] if "transposed" in named else values[6]
    return kinds.CudnnTranspose if transposed else kinds.Cudnn


def layout_of(x, weight):
    """Return the memory format in which cuDNN convolves."""
    import torch

    formats = [torch._prims_common.suggest_memory_format(tensor) for tensor in (x, weight)]
    return torch.channels_last if torch.channels_last in formats else torch.contiguous_format


def observed(*, model, recipe, precision, device="cuda", source=None, overrides=None, replicas=0, deterministic=False):
    """Return what the first step of a training does on fake tensors, or why genzoo refuses the training."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from genzoo.errors import GenzooError
    from genzoo.training.populations import Population
    from genzoo.training.trainer import take_step

    with FakeTensorMode(allow_non_fake_inputs=False):
        try:
            trainers = [
                trainer_of(model, recipe, precision, device, source, overrides or {}, deterministic)
                for _ in range(replicas or 1)
            ]
        except GenzooError as error:
            return {"refused": str(error)}
        training = Population(trainers) if replicas else trainers[0]
        draw = training._batch if replicas else training.batch
        first = draw()  # a new epoch's order of rows comes from the host
        take_step(trainers, training._step, first)  # the first step is checked, too
        rows, step = (operations(numbers_on_host=bool(replicas)) for _ in range(2))
        generators = torch.cuda.default_generators
        before = [len(getattr(generator, "seeds", [])) for generator in generators]
        with draws() as drawn:
            with rows:
                batch = draw()
            with step:
                losses = take_step(trainers, training._step, batch)
        seeded = [len(getattr(g, "seeds", [])) - count for g, count in zip(generators, before, strict=True)]
        parameters = [parameter for trainer in trainers for group in trainer.players.values() for parameter in group]
        return {
            "operations": dict(step.count),
            "kernels": step.count.total(),
            "transposes": dict(step.transposes),
            "products": sorted(step.products),
            "algorithms": sorted(step.algorithms),
            "batch_kernels": rows.count.total(),
            "faults": sorted({*rows.faults, *step.faults, *drawn.faults}),
            "seeded": [number for number, count in enumerate(seeded) if count],
            "devices": sorted({str(value.device) for part in losses for value in part.values()}),
            "strides_unlike": sum(
                parameter.grad is not None and parameter.grad.stride() != parameter.stride() for parameter in parameters
            ),
            "parameters": len(parameters),
            "current": sorted(step.current),
            "capturable": all(
                group["capturable"]
                for trainer in trainers
                for optimizer in trainer.optimizers.values()
                for group in optimizer.param_groups
            ),
        }


def trainer_of(model, recipe, precision, device, source, overrides, deterministic):
    """Return a trainer on random rows, two batches of them."""
    from dataclasses import replace

    from genzoo.data.dataset import random_split
    from genzoo.host.discovery import registry
    from genzoo.runs import TrainingRequest
    from genzoo.runs.job import resolve_job
    from genzoo.training.devices import choose_device
    from genzoo.training.trainer import Trainer

    def settings_of(name, own):
        request = TrainingRequest(model=name, recipe=recipe, precision=precision, device=device, overrides=own)
        return resolve_job(registry(), request).settings

    settings = settings_of(model, overrides)
    if settings.game.inherits:
        settings = replace(settings, source=settings_of(source, {}))
    split = random_split(settings.dataset.spec, 2 * settings.training.batch_size, seed=0)
    arithmetic = {"precision": precision, "deterministic": deterministic}
    return Trainer(settings, split, seed=0, device=choose_device(device), **arithmetic)


def operations(*, numbers_on_host):
    """Return a mode that counts the kernels that operations on the device launch, and notes what a step must not do.

    With `numbers_on_host`, tensors () may lie there: vmap makes such of Python's numbers, and kernels take them as
    arguments.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Operations(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.count, self.transposes, self.faults, self.current = Counter(), Counter(), set(), set()
            self.products, self.algorithms = set(), set()

        def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
            result = operator(*arguments, **(keywords or {}))
            name = operator.overloadpacket.__name__
            leaves = [leaf for leaf in tree_leaves((arguments, keywords, result)) if isinstance(leaf, torch.Tensor)]
            devices = {leaf.device for leaf in leaves if leaf.ndim or leaf.is_cuda or not numbers_on_host}
            if name in _WAITING:
                self.faults.add(f"the host waits for {name}")
            if len(devices) > 1:
                self.faults.add(f"{name} mixes {', '.join(sorted(map(str, devices)))}")
            if devices == {torch.device("cpu")} and name not in _NO_KERNEL:
                self.faults.add(f"{name} on the host")
            if name not in _NO_KERNEL and any(device.type == "cuda" for device in devices):
                self.count[name] += launches(name, arguments)
                self.current.add(torch.cuda.current_device())
                if "convolution" in name:
                    self.products.add(torch.backends.cudnn.conv.fp32_precision)
                    is_bitwise = torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.deterministic
                    self.algorithms.add("deterministic" if is_bitwise else "any")
                self.note_layout(name, arguments)
            return result

        def note_layout(self, name, arguments):
            """Count the operands of a convolution that cuDNN must first copy into its layout."""
            if name not in ("convolution", "convolution_backward"):
                return
            operands = [tensor for tensor in arguments[:3] if isinstance(tensor, torch.Tensor) and tensor.ndim == 4]
            layout = layout_of(*operands[-2:])
            self.transposes[name] += sum(not tensor.is_contiguous(memory_format=layout) for tensor in operands)

    return Operations()


def launches(name, arguments):
    """Return about how many kernels an operation launches: at least one, and one per gradient of a convolution."""
    return sum(map(bool, arguments[10])) if name == "convolution_backward" else 1


def draws():
    """Return a mode that notes draws from a generator of another device than the result's."""
    from torch.overrides import TorchFunctionMode

    class Draws(TorchFunctionMode):
        def __init__(self):
            super().__init__()
            self.faults = set()

        def __torch_function__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            name, source = getattr(function, "__name__", ""), (keywords or {}).get("generator")
            if name in _DRAWS and source is not None and source.device != result.device:
                self.faults.add(f"{name} on {result.device} from a generator on {source.device}")
            return result

    return Draws()


if __name__ == "__main__":
    serve(sys.argv[1])
