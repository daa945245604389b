"""Commands that tests run in processes of their own."""

import os

# Programs that run for a while pay for their optimisation, which the suite's flags (conftest) leave out.
OPTIMISED = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
