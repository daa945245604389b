"""Tests of many drawn cases, each of which must end in a result or in a ValueError of one line."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def fuzz(some, many, *strategies):
    """Makes a test of a function of drawn values: `some` cases, and `many` of them among the slow tests."""

    def decorate(body):
        @pytest.mark.parametrize("cases", [some, pytest.param(many, marks=pytest.mark.slow)])
        def test(cases):
            run = settings(max_examples=cases, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            run(given(*strategies)(body))()

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        return test

    return decorate


def value_error_or(function):
    """The result, or None after a ValueError whose message is one line that says something."""
    try:
        return function()
    except ValueError as error:
        assert str(error).strip() and "\n" not in str(error), repr(error)
        return None


def damage(content, data):
    """The bytes with one to three changes: a bit, a part left out, put in or zeroed, or everything."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "zero", "replace"]))
        if kind == "flip" and at < len(content):
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del content[at:]
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=4))
        elif kind == "zero":
            content[at : at + 20] = bytes(len(content[at : at + 20]))
        elif kind == "replace":
            content = bytearray(data.draw(st.binary(max_size=30)))
    return bytes(content)
