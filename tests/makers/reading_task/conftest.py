"""The files of a task that is not there: a test copies them into a checkout; here they cannot be imported."""

collect_ignore = ["reading.py", "toolchain.py"]
