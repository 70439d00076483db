"""How many examples a test draws whose examples are dear."""

from hypothesis import settings


def examples(usual: int) -> settings:
    """``usual`` many; in a profile with more examples than ``ci`` has, as many times more."""
    return settings(max_examples=max(usual, usual * settings.default.max_examples // 100), deadline=None)
