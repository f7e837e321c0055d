import signal

from hypothesis import settings

settings.register_profile("edgecnn", derandomize=True, deadline=None)  # fixed seeds, no time assertions
settings.load_profile("edgecnn")


def pytest_configure() -> None:
    """Listens to SIGINT also where a shell started pytest in the background, which has all children ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
