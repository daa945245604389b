"""The numbers the paper reports, to stand beside ours."""

from typing import NamedTuple


class Published(NamedTuple):
    """A published mean and its 95 % interval over pooled tasks, None where only the mean is published."""

    mean: float
    interval: float | None


# 5-way Omniglot with the fully connected base-learner, accuracy, k queries per class at test, 3 runs pooled.
OMNIGLOT: dict[tuple[str, int], Published] = {
    ("op_lstm", 1): Published(0.8427, 0.0087),
    ("op_lstm", 5): Published(0.9178, 0.0032),
    ("maml", 1): Published(0.8409, 0.0092),
    ("maml", 5): Published(0.9352, 0.0032),
    ("protonet", 1): Published(0.8360, 0.0088),
    ("protonet", 5): Published(0.9339, 0.0029),
    ("pi_lstm", 1): Published(0.7257, 0.0094),
    ("pi_lstm", 5): Published(0.8484, 0.0046),
    ("lstm", 1): Published(0.660, None),
    ("lstm", 5): Published(0.568, None),
}


def _both_shots(learners: dict[str, tuple[float, float, float, float]]) -> dict[tuple[str, int], Published]:
    """Mean and interval at 1 and at 5 shots, a line per learner, as cells."""
    shots = {(name, shot): row[at : at + 2] for name, row in learners.items() for at, shot in ((0, 1), (2, 5))}
    return {cell: Published(*values) for cell, values in shots.items()}


# 5-way accuracy on natural images with Conv-4: (data trained on, data tested on) -> (learner, shot) -> value. Within a
# data set with k queries per class at test, across data sets with 15. The plain LSTM on CUB is only said to be at
# chance.
NATURAL: dict[tuple[str, str], dict[tuple[str, int], Published]] = {
    ("mini", "mini"): _both_shots(
        {
            "op_lstm_head": (0.5189, 0.0104, 0.6787, 0.0053),
            "maml": (0.4860, 0.0104, 0.6302, 0.0054),
            "protonet": (0.5011, 0.0104, 0.6536, 0.0053),
            "sap": (0.5296, 0.0108, 0.6762, 0.0051),
            "warp_maml": (0.5044, 0.0104, 0.6555, 0.0053),
            "pi_lstm": (0.2027, 0.0076, 0.1986, 0.0033),
        }
    ),
    ("cub", "cub"): _both_shots(
        {
            "op_lstm_head": (0.6021, 0.0104, 0.7310, 0.0052),
            "maml": (0.5749, 0.0104, 0.7481, 0.0051),
            "protonet": (0.5086, 0.0101, 0.6373, 0.0055),
            "sap": (0.6347, 0.0099, 0.7388, 0.0051),
            "warp_maml": (0.5957, 0.0100, 0.7416, 0.0051),
        }
    ),
    ("mini", "cub"): _both_shots(
        {
            "op_lstm_head": (0.4233, 0.0042, 0.5847, 0.0041),
            "maml": (0.3791, 0.0040, 0.5365, 0.0040),
            "protonet": (0.3971, 0.0041, 0.5601, 0.0041),
            "sap": (0.4148, 0.0044, 0.5800, 0.0041),
            "warp_maml": (0.4201, 0.0043, 0.5694, 0.0042),
            "pi_lstm": (0.2009, 0.0028, 0.2004, 0.0025),
        }
    ),
    ("cub", "mini"): _both_shots(
        {
            "op_lstm_head": (0.3582, 0.0040, 0.4902, 0.0040),
            "maml": (0.3106, 0.0036, 0.4579, 0.0039),
            "protonet": (0.3175, 0.0034, 0.4532, 0.0038),
            "sap": (0.3326, 0.0039, 0.4709, 0.0039),
            "warp_maml": (0.3107, 0.0035, 0.4134, 0.0036),
        }
    ),
}

# Sine regression, mean squared error on 2 000 test tasks, 3 runs pooled: (learner, shot) -> value.
SINE: dict[tuple[str, int], Published] = {
    ("lstm", 5): Published(0.0536, None),
    ("lstm", 10): Published(0.0177, None),
    ("lstm", 20): Published(0.0080, None),
    ("pi_lstm", 5): Published(0.0406, 0.0023),
    ("pi_lstm", 10): Published(0.0141, 0.0007),
    ("pi_lstm", 20): Published(0.0065, 0.0002),
    ("op_lstm", 5): Published(0.1054, 0.0090),
    ("op_lstm", 10): Published(0.0076, 0.0007),
    ("op_lstm", 20): Published(0.0027, 0.0002),
    ("maml", 5): Published(0.1765, 0.0094),
    ("maml", 10): Published(0.0329, 0.0030),
    ("maml", 20): Published(0.0049, 0.0005),
}

# Permutation invariance: the plain LSTMs, sine as above and 5-way Omniglot accuracy, means of 3 runs.
_SINE_SHOTS, _OMNIGLOT_SHOTS = (5, 10, 20, 30, 40, 50), (1, 3, 5, 8, 10)


def _means(learner: str, shots: tuple[int, ...], means: tuple[float, ...]) -> dict[tuple[str, int], Published]:
    return {(learner, shot): Published(mean, None) for shot, mean in zip(shots, means, strict=True)}


INVARIANCE_SINE: dict[tuple[str, int], Published] = {
    **_means("pi_lstm", _SINE_SHOTS, (0.0406, 0.0141, 0.0065, 0.0064, 0.0043, 0.0038)),
    **{cell: value for cell, value in SINE.items() if cell[0] == "pi_lstm"},  # the same, with intervals
    **_means("lstm", _SINE_SHOTS, (0.0536, 0.0177, 0.0080, 0.0056, 0.0057, 0.0081)),
}
INVARIANCE_OMNIGLOT: dict[tuple[str, int], Published] = {
    **_means("pi_lstm", _OMNIGLOT_SHOTS, (0.726, 0.829, 0.836, 0.874, 0.863)),
    **_means("lstm", _OMNIGLOT_SHOTS, (0.660, 0.401, 0.568, 0.413, 0.489)),
}

# 5-way Omniglot with the fully connected base-learner without batch normalisation, accuracy, k queries per class.
WITHOUT_NORM: dict[tuple[str, int], Published] = {
    **_means("maml", (1, 5), (0.454, 0.345)),
    **_means("protonet", (1, 5), (0.841, 0.945)),
    **_means("op_lstm", (1, 5), (0.716, 0.812)),
}

# Learned updates on 1-shot miniImageNet, at the end of training: cosine of OP-LSTM's total update with that of
# gradient descent, and of its weights with the prototype classifier.
UPDATES: dict[str, Published] = {
    "gradient_cosine": Published(0.94, None),
    "prototype_cosine": Published(0.74, None),
}

# Wall time of one of the authors' runs on an RTX 2080 Ti in seconds: data -> learner -> value. miniImageNet's are
# of 1 shot; the shots of Omniglot's are not stated, and tables show them beside runs with 1 shot.
SECONDS: dict[str, dict[str, float]] = {
    "omniglot": {"op_lstm": 11_580, "maml": 74_580, "pi_lstm": 30_480, "protonet": 8_880},
    "mini": {
        "op_lstm_head": 17_400,
        "protonet": 15_240,
        "maml": 47_340,
        "warp_maml": 44_700,
        "pi_lstm": 144_840,
    },
}
