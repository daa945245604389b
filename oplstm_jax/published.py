"""The numbers the paper reports (SPEC §8), to stand beside ours."""

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
