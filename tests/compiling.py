"""How the suite compiles: thousands of small programs once each; compiling fast matters, running fast does not."""

import mmap
from importlib.util import find_spec
from pathlib import Path

OLD_EMITTERS = "xla_cpu_use_fusion_emitters"


def fast() -> str:
    """XLA flags: no optimisation, and the older code generator, which takes a third of the time, if it is there."""
    return "--xla_backend_optimization_level=0" + (f" --{OLD_EMITTERS}=false" if known(OLD_EMITTERS) else "")


def known(flag: str) -> bool:
    """Whether the installed XLA has this flag: one that it does not know would end the process."""
    for library in (Path(find_spec("jaxlib").origin).parent).glob("libjax_common.*"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(flag.encode()) >= 0
    return False
