import experiments  # noqa: F401 Ctrl-C during imports
