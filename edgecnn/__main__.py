"""`python -m edgecnn`: the command line, where the console script is not on the PATH."""

from edgecnn.cli import script

if __name__ == "__main__":
    script()
