"""`python -m oplstm_jax.compat FILE.npz ...`"""

import sys

from oplstm_jax.compat import main

sys.exit(main())
