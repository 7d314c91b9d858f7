"""How does a hunt tell what it met, though pytest keeps what tests print?"""

from collections.abc import Callable

import pytest


@pytest.fixture
def say(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return a function that writes lines to the terminal at once."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    assert isinstance(reporter, pytest.TerminalReporter)

    def to_the_terminal(words: str) -> None:
        with capfd.disabled():
            reporter.write_line(f"\n{words}")

    return to_the_terminal
