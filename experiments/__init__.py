import signal
import sys

# While a command (python -m) still imports, Ctrl-C ends it without a traceback; `cli` listens from then on.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
