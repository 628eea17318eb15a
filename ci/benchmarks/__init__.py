"""How long things take, beside what others take for the same in the same run: `ci/bench`.

table        the rows: what is measured, and by whom else
experiments  the functions behind the rows about short experiments
crowds       the function behind the row about many connections at once
kernel       the functions behind the rows about the kernel's socket tables
captures     the functions behind the row about a capture file
scans        the functions behind the rows about captures to scan
forged       a big capture, made in seconds
sockets      tens of thousands of connections, held by several processes
measure      contenders taken in turns, and what came of it
machine      on what it ran
report       the results as text and as Markdown

A new row is one line in `table` and one function that yields its contenders.
"""
