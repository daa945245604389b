"""Tasks whose support set is a sequence: key -> Episode, pure, on the device. Beyond the paper.

    trajectory  a dynamical system, identified from its successive states: order carries nothing that the examples lack
    drift       a slope that moves along the sequence and is asked for at its end: half of it is in the order alone
    latest      symbols that are given new labels along the sequence: a symbol's class is the last it was given

The support is in the order of time. With `position` every input ends with one more number, its place in time from -1,
the first example, to 1, the last; queries are asked at 1. Without it, no learner that ignores the order of the support
set can do better than `DRIFT_UNORDERED` and 1 / shot. Sizes that are no integers above 0 raise ValueError.
"""

import jax
import jax.numpy as jnp

from oplstm_jax.data.episodes import check_sizes
from oplstm_jax.types import Array, Episode, Split

RADII, OFFSETS = (0.7, 1.0), (-0.3, 0.3)  # of trajectory: contraction in one step, coordinates of the drive
SYMBOL_FEATURES, SYMBOL_NOISE = 4, 0.1  # of latest

# Mean squared errors and accuracies of knowing nothing: predictions of 0, guesses.
TRAJECTORY_CHANCE = 0.73 / 3 + 0.03  # E[r^2] E[x^2] + E[b^2]
DRIFT_CHANCE = 2 / 9  # E[(w + v)^2] E[x^2]
# The sequence backwards is a task as likely, with drift -v and the same set of examples: what ignores order has to
# guess the sign, and the mean w of both answers has error E[v^2] E[x^2].
DRIFT_UNORDERED = 1 / 9


def sample_trajectory(key: Array, shot: int, query: int, position: bool = False) -> Episode:
    """x' = r R(a) x + b in the plane: support the transitions of one trajectory, x [shot, 2] and x' [shot, 2].

    r ~ U[0.7, 1], angle a ~ U[-pi, pi], b ~ U[-0.3, 0.3]^2, first state U[-1, 1]^2; queries: other states alike.
    """
    check_sizes(shot=shot, query=query)
    keys = jax.random.split(key, 4)
    radius = jax.random.uniform(keys[0], minval=RADII[0], maxval=RADII[1])
    angle = jax.random.uniform(keys[1], minval=-jnp.pi, maxval=jnp.pi)
    drive = jax.random.uniform(keys[2], (2,), minval=OFFSETS[0], maxval=OFFSETS[1])
    matrix = radius * jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    states = jax.random.uniform(keys[3], (1 + query, 2), minval=-1.0)

    def step(state, _):
        after = matrix @ state + drive
        return after, (state, after)

    _, (before, after) = jax.lax.scan(step, states[0], length=shot)
    return _episode(before, after, states[1:], states[1:] @ matrix.T + drive[None], position)


def sample_drift(key: Array, shot: int, query: int, position: bool = False) -> Episode:
    """y = (w + v s) x with s from -1 to 1 along the support, x, y [shot, 1]; queries, y [query, 1], are at s = 1.

    w, v and all x ~ U[-1, 1].
    """
    check_sizes(shot=shot, query=query)
    line_key, x_key = jax.random.split(key)
    slope, drift = jax.random.uniform(line_key, (2,), minval=-1.0)
    x = jax.random.uniform(x_key, (shot + query, 1), minval=-1.0)
    seen, asked = x[:shot], x[shot:]
    return _episode(seen, (slope + drift * places(shot)) * seen, asked, (slope + drift) * asked, position)


def sample_latest(key: Array, way: int, shot: int, query: int, position: bool = False) -> Episode:
    """`way` symbols get `shot` different labels each, in events x [way shot, 4], y [way shot, way] in random order.

    A symbol is a point N(0, 1)^4, an event's x that point with noise N(0, 0.1)^4, queries x [way query, 4] alike; their
    y is the label the symbol was given last.

    Raises ValueError for more shots than ways, which cannot be different labels.
    """
    check_sizes(way=way, shot=shot, query=query)
    if shot > way:
        raise ValueError(f"shot is {shot}, but a symbol's labels differ and there are {way}: expected at most {way}")
    keys = jax.random.split(key, 5)
    symbols = jax.random.normal(keys[0], (way, SYMBOL_FEATURES))
    labels = jax.vmap(lambda k: jax.random.permutation(k, way)[:shot])(jax.random.split(keys[1], way))
    order = jax.random.permutation(keys[2], way * shot)  # event of each place
    latest = jnp.argmax(jnp.argsort(order).reshape(way, shot), axis=1)
    answers = jnp.take_along_axis(labels, latest[:, None], axis=1)[:, 0]

    def draw(key: Array, which: Array) -> Array:
        return symbols[which] + SYMBOL_NOISE * jax.random.normal(key, (which.size, SYMBOL_FEATURES))

    asked = jnp.repeat(jnp.arange(way), query)
    targets = jax.nn.one_hot(labels.reshape(-1)[order], way), jax.nn.one_hot(answers[asked], way)
    return _episode(draw(keys[3], order // shot), targets[0], draw(keys[4], asked), targets[1], position)


def places(examples: int) -> Array:
    """Places in time [M, 1], evenly from -1 to 1; a single example is at 1."""
    return jnp.linspace(1.0, -1.0, examples)[::-1, None]


def _episode(x: Array, y: Array, query_x: Array, query_y: Array, position: bool) -> Episode:
    if position:
        x = jnp.concatenate((x, places(len(x))), axis=1)
        query_x = jnp.concatenate((query_x, jnp.ones((len(query_x), 1))), axis=1)
    return Episode(Split(x, y), Split(query_x, query_y))
