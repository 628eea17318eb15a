"""Real servers under `testbed verify`: `ci/board`.

table     the configurations: what is installed, how it is started, how it is talked to
install   their packages and programs, in a folder of the board's own
run       each put to every check, several at once, round after round
report    what came of it as the page BOARD.md
words     what two rounds tell alike
apps      the small programs and configuration files that are served

A new configuration is one line in `table`, and a file in `apps` where none fits.
"""
