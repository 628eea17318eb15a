"""Scripts of keys."""

from __future__ import annotations

import pytest

from testbed.errors import UsageError
from testbed.stepper.keys import KEYS, Command, Press, parse_script, press


def test_each_key_has_a_name_of_its_own() -> None:
    names = [name for key in KEYS for name in key.names]
    assert len(names) == len(set(names))
    assert {key.command for key in KEYS} == set(Command)
    assert all(press(name) for name in names)
    assert press("x") is None


def test_a_script_is_words() -> None:
    script = "enter space  # two\n\n2 d\nD a c ? q\n"
    assert parse_script(script) == [
        Press(Command.DELIVER),
        Press(Command.DELIVER),
        Press(Command.MARK, 2),
        Press(Command.DROP),
        Press(Command.DUPLICATE),
        Press(Command.ALL),
        Press(Command.GO_ON),
        Press(Command.HELP),
        Press(Command.QUIT),
    ]
    assert parse_script("# nothing\n") == []


def test_a_word_that_is_no_key_is_told_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"^line 2: 'entre' is no key; there are: enter, space, d"):
        parse_script("enter\nentre\n")
