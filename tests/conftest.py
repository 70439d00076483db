"""hypothesis profiles, kernel sets, and a clean state before and after each test."""

import importlib.util
import os
import signal

import pytest
from _pytest.doctest import DoctestModule  # it has no public name
from hypothesis import HealthCheck, Phase, settings
from op_table import KERNEL_SETS

import tinygrad_cnn as tg

CI_EXAMPLES = 100

# A job that a script puts into the background is deaf to Ctrl-C, and so are its children: some tests send them one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("dev", max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("ci", settings.get_profile("dev"), max_examples=CI_EXAMPLES, derandomize=True)
settings.register_profile("nightly", settings.get_profile("dev"), max_examples=20 * CI_EXAMPLES)
settings.register_profile(  # few examples, always the same, and no search for the smallest that fails
    "mutation", settings.get_profile("dev"), derandomize=True, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Collect no doctests from the files beside this one, where they would hide an error.

    `--doctest-ignore-import-errors` is for library modules whose extra is missing. Of a test module that cannot be
    imported it makes a skip, after which pytest takes the half-imported module for one without tests.
    """
    return [collector for collector in (yield) if not isinstance(collector, DoctestModule)]


def pytest_collection_modifyitems(items):
    """The examples of pictures and reports draw: without the extra they skip, by name. A whole report is slow."""
    can_draw = importlib.util.find_spec("matplotlib") is not None
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.name.startswith("tinygrad_cnn.inspection"):
            if not can_draw:
                item.add_marker(pytest.mark.skip(reason="needs the extra `plot`: matplotlib"))
            elif item.name == "tinygrad_cnn.inspection.report":
                item.add_marker(pytest.mark.slow)


@pytest.fixture(params=KERNEL_SETS)
def kernel_set(request):
    """Each installed kernel set in turn."""
    tg.set_kernels(request.param)
    return request.param


@pytest.fixture(autouse=True)
def _default_kernels():
    yield
    tg.set_kernels("auto")
