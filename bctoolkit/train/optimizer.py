"""The optimizer of a phase and its learning rate at each step."""

import math
import re
from typing import Any

import keras
import tensorflow as tf

from bctoolkit.recipes import Phase, TrainRecipe
from bctoolkit.train.devices import copies_of

__all__ = ["AdamW", "layer_rates", "learning_rate", "optimizer_for"]

LAST_SHARE = 0.01
"""What is left of the learning rate at the end of a falling schedule."""

UNDECAYED = ("bias", "gamma", "beta")
"""Weight decay pulls kernels only (He et al. 2019, arXiv:1812.01187, section 3.1)."""


class AdamW(keras.optimizers.Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101) and a rate of its own per layer.

    Keras's own gives the same numbers by some ten operations per weight, which takes an eighth of a training step of
    ConvNeXtSmall; TensorFlow's fused one updates moments and weight in one pass.

    Args:
        rates: for each trainable weight, by its TensorFlow variable's reference: the factor on the learning rate,
            and the weight decay.
        clip_norm: largest norm of all gradients together; 0 for no limit.
    """

    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-7

    def __init__(self, rates: dict[Any, tuple[float, float]], clip_norm: float) -> None:
        super().__init__(1.0, global_clipnorm=clip_norm or None)
        self._rates = rates
        self._moments: dict[Any, list[Any]] = {}

    def build(self, variables: list[Any]) -> None:
        """Make the two moments of each weight."""
        if self.built:
            return
        super().build(variables)
        for variable in variables:
            first, second = (self.add_variable_from_reference(variable, name) for name in ("momentum", "velocity"))
            copies = zip(*(copies_of(one.value) for one in (variable, first, second)), strict=True)
            self._moments |= {copy.ref(): moments for copy, *moments in copies}

    def _all_reduce_sum_gradients(self, gradients: list[Any]) -> list[Any]:
        """Leave them: `TrainStep` has added those of all devices, before they are clipped and not after."""
        return gradients

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decay the weight, then do Adam's step."""
        factor, decay = self._rates[variable.ref()]
        rate = tf.cast(learning_rate * factor, variable.dtype)
        if decay:
            variable.assign_sub(variable * (rate * decay))
        first, second = self._moments[variable.ref()]
        done = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=self.beta_1**done,
            beta2_power=self.beta_2**done,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


def optimizer_for(model: keras.Model, recipe: TrainRecipe) -> Any:
    """A fresh optimizer for the trainable weights of `model`; float16 gets loss scaling."""
    factors = layer_rates(model, recipe.layer_decay)
    rates = {
        copy.ref(): (factors[layer.name], 0.0 if weight.name in UNDECAYED else recipe.weight_decay)
        for layer in model.layers
        for weight in layer.trainable_weights
        for copy in copies_of(weight.value)
    }
    optimizer: Any = AdamW(rates, recipe.clip_norm)
    if recipe.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def layer_rates(model: keras.Model, decay: float) -> dict[str, float]:
    """Factor on the learning rate by layer: 1 in the head, `decay` in the last block, its square before it."""
    groups: list[str] = []
    for layer in model.layers:
        if layer.weights and (name := _block(layer.name)) not in groups:
            groups.append(name)
    depth = {name: decay ** (len(groups) - 1 - position) for position, name in enumerate(groups)}
    return {layer.name: depth[_block(layer.name)] for layer in model.layers if layer.weights}


def learning_rate(phase: Phase, step: int, steps: int) -> float:
    """The rate at `step` of a phase whose epochs have `steps` steps: a linear warm-up, then the schedule."""
    warmup, last = round(phase.warmup_epochs * steps), (phase.decay_epochs or phase.epochs) * steps
    if step < warmup:
        return phase.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(last - warmup, 1)
    if phase.schedule == "cosine":
        return phase.learning_rate * (LAST_SHARE + (1 - LAST_SHARE) * (1 + math.cos(math.pi * share)) / 2)
    return phase.learning_rate * (LAST_SHARE**share if phase.schedule == "exponential" else 1.0)


def _block(layer: str) -> str:
    """What learns at one rate: a residual block, a downsampling, the stem, the head, else the layer itself."""
    match = re.match(r"stage_\d+_(block_\d+|downsample)|stem|head", layer)
    return match[0] if match else layer
