"""testbed: did my server close that connection properly?"""

from ._version import __version__

__all__ = ["__version__"]
