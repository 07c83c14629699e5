"""The optimizer of a phase and its learning rate at each step."""

import math
import re
from typing import Any

import keras
import tensorflow as tf

from bctoolkit.recipes import Phase, TrainRecipe
from bctoolkit.train.devices import copies_of

__all__ = ["AdamW", "Muon", "layer_rates", "learning_rate", "optimizer_for"]

LAST_SHARE = 0.01
"""What is left of the learning rate at the end of a falling schedule."""

ADAMW_STEP = 0.2
"""Root mean square of AdamW's steps as a share of the learning rate, as measured by Liu et al. 2025."""

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
        self._step(tf.cast(gradient, variable.dtype), variable, rate)

    def _step(self, gradient: Any, variable: Any, rate: Any) -> None:
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
            grad=gradient,
        )


class Muon(AdamW):
    """Steps that are equally long in all directions of a matrix (Jordan et al. 2024); for other weights those of AdamW.

    A gradient's few large directions drown the many small ones. Muon replaces a matrix's momentum by the orthogonal
    matrix nearest to it. Its steps are scaled to the length AdamW's have, so that both share one learning rate and one
    weight decay (Liu et al. 2025, arXiv:2502.16982, section 2.2).

    Args:
        rates: as for `AdamW`.
        clip_norm: as for `AdamW`; it counts for those of other weights, as a matrix's steps do not depend on length.
        matrices: references of the kernels that are treated as matrices, outputs by columns.
    """

    momentum = 0.95

    def __init__(self, rates: dict[Any, tuple[float, float]], clip_norm: float, matrices: set[Any]) -> None:
        super().__init__(rates, clip_norm)
        self._matrices = matrices

    def _step(self, gradient: Any, variable: Any, rate: Any) -> None:
        if variable.ref() not in self._matrices:
            super()._step(gradient, variable, rate)
            return
        momentum, _ = self._moments[variable.ref()]
        momentum.assign(self.momentum * momentum + gradient)
        ahead = tf.reshape(gradient + self.momentum * momentum, (-1, variable.shape[-1]))  # as Nesterov's
        length = rate * ADAMW_STEP * max(ahead.shape) ** 0.5
        variable.assign_sub(length * tf.reshape(orthogonal(ahead), variable.shape))


def orthogonal(matrix: Any) -> Any:
    """Roughly the orthogonal matrix nearest to a matrix: its singular values become 0.7 to 1.2, but for tiny ones.

    Five steps of Newton and Schulz's iteration with Jordan's coefficients (https://kellerjordan.github.io/posts/muon/),
    done on the inner products of the shorter side: the polynomials of these commute, so it suffices to multiply them,
    and the matrix itself comes in twice instead of ten times.

    Args:
        matrix: a tensor of two dimensions.

    Returns:
        A tensor of the same shape.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    unit = matrix / (tf.norm(matrix) + 1e-7)
    products = tf.matmul(unit, unit, transpose_a=tall, transpose_b=not tall)
    one = tf.eye(products.shape[0], dtype=products.dtype)
    polynomial = one
    for _ in range(5):
        step = a * one + b * products + c * tf.matmul(products, products)
        polynomial = tf.matmul(step, polynomial)
        products = tf.matmul(step, tf.matmul(products, step))
    return tf.matmul(unit, polynomial) if tall else tf.matmul(polynomial, unit)


def optimizer_for(model: keras.Model, recipe: TrainRecipe) -> Any:
    """A fresh optimizer for the trainable weights of `model`; float16 gets loss scaling."""
    factors = layer_rates(model, recipe.layer_decay)
    rates = {
        copy.ref(): (factors[layer.name], 0.0 if weight.name in UNDECAYED else recipe.weight_decay)
        for layer in model.layers
        for weight in layer.trainable_weights
        for copy in copies_of(weight.value)
    }
    muon = recipe.optimizer == "muon"
    optimizer: Any = Muon(rates, recipe.clip_norm, _matrices(model)) if muon else AdamW(rates, recipe.clip_norm)
    if recipe.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _matrices(model: keras.Model) -> set[Any]:
    """References of the kernels that map all channels to all others; the head's maps them to classes."""
    mixing = (keras.layers.Dense, keras.layers.Conv2D)
    return {
        copy.ref()
        for layer in model.layers
        if isinstance(layer, mixing) and layer.trainable and not layer.name.startswith("head")
        for copy in copies_of(layer.kernel.value)
    }


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
