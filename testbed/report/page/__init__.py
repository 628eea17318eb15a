"""The page: one HTML file with everything that was found, to look at, to filter, and to attach to a report.

    Survey, Experiment, ... --> Page --(writing)--> HTML

    content     what a page holds
    connection  a connection as a page shows it
    segments    what is told of one segment: header, options, bytes
    files       captures to download, within the page where they are small
    room        how much a page holds
    writing     the HTML: templates/, with one idea in each file of style and script

The ladders on it are those of `testbed.render`.  It loads nothing; its script makes elements of text only.
"""

from .connection import listed, shown
from .content import CheckRow, Count, Download, Entry, Listed, Page, Shown
from .files import Files
from .room import LADDER, ROWS, fitting
from .writing import write

__all__ = [
    "LADDER",
    "ROWS",
    "CheckRow",
    "Count",
    "Download",
    "Entry",
    "Files",
    "Listed",
    "Page",
    "Shown",
    "fitting",
    "listed",
    "shown",
    "write",
]
