"""The kernels of `nets/conv_pool.py`, in Pallas for Triton: rows of a product are the patches around 2x2 windows.

Programs share the windows of all images; each works through some tiles of windows and leaves one part of every
sum, which XLA adds up, so sums come in the same order each time. On a CPU they are interpreted, for tests.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from oplstm_jax.types import Array

WINDOW = ((0, 0), (0, 1), (1, 0), (1, 1))


class Plan(NamedTuple):
    """How a kernel is cut up: windows of a tile, outputs of a program, its warps, and the most programs of a batch."""

    rows: int
    channels: int
    warps: int
    programs: int


FORWARD, BACKWARD = Plan(32, 64, 4, 512), Plan(32, 64, 4, 128)  # the best of 17 on one H200, see benchmarks/README.md


class Size(NamedTuple):
    """height, width, features: of an image. windows: of all images. depth: 9 features or what a product can take.

    filters: G. tiles: of each program. programs: as many as there are tiles for.
    """

    height: int
    width: int
    features: int
    windows: int
    depth: int
    filters: int
    tiles: int
    programs: int
    plan: Plan

    @classmethod
    def of(cls, x: Array, kernel: Array, plan: Plan) -> "Size":
        batch, height, width, features = x.shape
        windows = batch * (height // 2) * (width // 2)
        every = pl.cdiv(windows, plan.rows)
        tiles = pl.cdiv(every, min(plan.programs, every))
        depth, filters = max(16, pl.next_power_of_2(9 * features)), kernel.shape[-1]
        plan = plan._replace(channels=min(plan.channels, filters))
        return cls(height, width, features, windows, depth, filters, tiles, pl.cdiv(every, tiles), plan)


def forward(x: Array, kernel: Array, sign: Array) -> tuple[Array, Array, Array]:
    """Maximum [M, H // 2, W // 2, G], mean and variance [G]: see `conv_pool`."""
    size, centre = Size.of(x, kernel, FORWARD), _centre(x, kernel)
    rows, channels = size.tiles * size.plan.rows, size.plan.channels
    maximum, sums = _call(
        _forward,
        size,
        [*_inputs(x, size), pl.BlockSpec((channels,), lambda p, c: (c,))],
        [
            pl.BlockSpec((rows, channels), lambda p, c: (p, c)),
            pl.BlockSpec((None, 2, channels), lambda p, c: (p, 0, c)),
        ],
        [((size.programs * rows, size.filters), x.dtype), ((size.programs, 2, size.filters), jnp.float32)],
    )(_padded(x), _matrix(kernel, size.depth), sign.astype(jnp.float32), centre)
    maximum = maximum[: size.windows].reshape(x.shape[0], size.height // 2, size.width // 2, size.filters)
    first, second = jnp.sum(sums, 0) / (4 * size.windows)
    return maximum, centre + first, second - jnp.square(first)


def backward(x: Array, kernel: Array, sign: Array, level: Array, slope: Array, g: Array) -> Array:
    """Gradient [3, 3, F, G] of the kernel, in float32, from g of the maximum and level + slope y of every y."""
    size = Size.of(x, kernel, BACKWARD)
    channels, filters = size.plan.channels, size.filters
    (grads,) = _call(
        _backward,
        size,
        [
            *_inputs(x, size),
            pl.BlockSpec((2, channels), lambda p, c: (0, c)),
            pl.BlockSpec((size.windows, channels), lambda p, c: (0, c)),
        ],
        [pl.BlockSpec((None, channels, size.depth), lambda p, c: (p, c, 0))],
        [((size.programs, filters, size.depth), jnp.float32)],
    )(
        _padded(x),
        _matrix(kernel, size.depth),
        sign.astype(jnp.float32),
        jnp.stack((level, slope)),
        g.reshape(-1, filters),
    )
    return jnp.sum(grads, 0)[:, : 9 * size.features].T.reshape(kernel.shape)


def _call(kernel: Callable, size: Size, ins: list, outs: list, shapes: list) -> Callable:
    return pl.pallas_call(
        functools.partial(kernel, size=size, precision=_precision()),
        grid=(size.programs, size.filters // size.plan.channels),
        in_specs=ins,
        out_specs=outs,
        out_shape=[jax.ShapeDtypeStruct(*shape) for shape in shapes],
        compiler_params=triton.CompilerParams(num_warps=size.plan.warps, num_stages=1),
        interpret=jax.default_backend() == "cpu",
    )


def _inputs(x: Array, size: Size) -> list:
    """Of pixels, kernel and sign."""
    pixels = x.shape[0] * (size.height + 2) * (size.width + 2) * size.features
    return [
        pl.BlockSpec((pixels,), lambda p, c: (0,)),
        pl.BlockSpec((size.depth, size.plan.channels), lambda p, c: (0, c)),
        pl.BlockSpec((size.plan.channels,), lambda p, c: (c,)),
    ]


def _precision() -> Any:
    """Of float32 products: TF32 as in XLA's convolutions, unless JAX is told otherwise."""
    exact = jax.config.jax_default_matmul_precision in ("highest", "float32")  # type: ignore[attr-defined]
    return jax.lax.Precision.HIGHEST if exact or jax.default_backend() == "cpu" else jax.lax.Precision.HIGH


def _padded(x: Array) -> Array:
    """Images [M, H, W, F] with a border of zeros, flat."""
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).ravel()


def _matrix(kernel: Array, depth: int) -> Array:
    """The kernel [3, 3, F, G] as a matrix with rows of zeros below: [depth, G]."""
    flat = kernel.reshape(-1, kernel.shape[-1])
    return jnp.pad(flat, ((0, depth - len(flat)), (0, 0)))


def _centre(x: Array, kernel: Array) -> Array:
    """About the mean of the convolution, [G]: sums of differences from it lose no digits."""
    mean = jnp.mean(x.astype(jnp.float32), (0, 1, 2))
    return jnp.einsum("f,hwfg->g", mean, kernel.astype(jnp.float32))


def _patches(x_ref: Any, tile: Array, size: Size) -> tuple[list[Array], Array, Array]:
    """Patches [rows, depth] around the four pixels of each window of a tile; the windows' numbers; which there are."""
    row = tile * size.plan.rows + jnp.arange(size.plan.rows)
    inside, row = row < size.windows, jnp.minimum(row, size.windows - 1)
    across = size.width // 2
    of_image = size.height // 2 * across
    image, place = jax.lax.div(row, of_image), jax.lax.rem(row, of_image)
    line = image * (size.height + 2) + 2 * jax.lax.div(place, across)
    start = (line * (size.width + 2) + 2 * jax.lax.rem(place, across)) * size.features
    k = jnp.minimum(jnp.arange(size.depth), 9 * size.features - 1)  # weights of what is beyond are zero
    of_line, next_line = 3 * size.features, (size.width + 2) * size.features
    where = start[:, None] + (jax.lax.div(k, of_line) * next_line + jax.lax.rem(k, of_line))[None]
    return [x_ref[where + (i * next_line + j * size.features)] for i, j in WINDOW], row, inside[:, None]


def _product(a: Array, b: Array, precision: Any, contract: int = 1) -> Array:
    dims = (((contract,), (0,)), ((), ()))
    return jax.lax.dot_general(a, b, dims, precision=precision, preferred_element_type=jnp.float32)


def _forward(x_ref, w_ref, sign_ref, centre_ref, maximum_ref, sums_ref, *, size: Size, precision: Any) -> None:
    kernel, sign, centre = w_ref[...], sign_ref[...][None], centre_ref[...][None]
    program = pl.program_id(0)

    def tile(number, sums):
        patches, _, inside = _patches(x_ref, program * size.tiles + number, size)
        best, (first, second) = None, sums
        for patch in patches:
            y = _product(patch, kernel, precision)
            from_centre = jnp.where(inside, y - centre, 0)
            first, second = first + jnp.sum(from_centre, 0), second + jnp.sum(jnp.square(from_centre), 0)
            best = sign * y if best is None else jnp.maximum(best, sign * y)
        maximum_ref[pl.ds(number * size.plan.rows, size.plan.rows), :] = (sign * best).astype(maximum_ref.dtype)
        return first, second

    zero = jnp.zeros(sign_ref.shape, jnp.float32)
    sums_ref[0, :], sums_ref[1, :] = jax.lax.fori_loop(0, size.tiles, tile, (zero, zero))


def _backward(x_ref, w_ref, sign_ref, moments_ref, g_ref, grads_ref, *, size: Size, precision: Any) -> None:
    kernel, sign = w_ref[...], sign_ref[...][None]
    level, slope = moments_ref[0, :][None], moments_ref[1, :][None]
    program = pl.program_id(0)

    def tile(number, grads):
        patches, row, inside = _patches(x_ref, program * size.tiles + number, size)
        ys = [_product(patch, kernel, precision) for patch in patches]
        best = functools.reduce(jnp.maximum, [sign * y for y in ys])
        left = jnp.where(inside, g_ref[row].astype(jnp.float32), 0)
        for patch, y in zip(patches, ys, strict=True):
            chosen = sign * y == best
            of_y = jnp.where(chosen, left, 0) + jnp.where(inside, level + slope * y, 0)
            left = jnp.where(chosen, 0, left)
            grads += _product(of_y.astype(patch.dtype), patch, precision, contract=0)
        return grads

    grads_ref[...] = jax.lax.fori_loop(0, size.tiles, tile, jnp.zeros(grads_ref.shape, jnp.float32))
