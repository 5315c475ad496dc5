"""Types into a terminal in which a program runs: `terminal.py PROGRAM ARGUMENTS…`.

Each line of stdin is one step: `type TEXT` (as Python writes it), `expect TEXT`, `size ROWS COLUMNS`,
`modes` (says whether it is raw), `signal NUMBER` (to the program), `end` (waits for its exit).
A step that does not come about within half a minute ends everything with an error.
"""

import ast
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

PATIENCE = 30

program, terminal = pty.fork()
if program == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

seen = b""


def more(until):
    """What the terminal shows next; nothing at its end."""
    global seen
    if not select.select([terminal], [], [], max(0, until - time.time()))[0]:
        sys.exit(f"in vain: {step}\nseen: {seen!r}")
    try:
        new = os.read(terminal, 65536)
    except OSError:
        new = b""
    seen += new
    return new


def expect(text):
    global seen
    until = time.time() + PATIENCE
    while text not in seen:
        if not more(until):
            sys.exit(f"it ended before: {step}\nseen: {seen!r}")
    seen = seen[seen.index(text) + len(text):]


def resize(rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def is_raw():
    return not termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def becomes(raw):
    until = time.time() + PATIENCE
    while is_raw() != raw:
        if time.time() > until:
            sys.exit(f"in vain: {step}")
        time.sleep(0.001)


resize(33, 77)
for step in sys.stdin:
    verb, _, argument = step.strip().partition(" ")
    if verb == "type":
        os.write(terminal, ast.literal_eval(argument).encode())
    elif verb == "expect":
        expect(ast.literal_eval(argument).encode())
    elif verb == "size":
        resize(*map(int, argument.split()))
    elif verb == "raw":
        becomes(True)
    elif verb == "cooked":
        becomes(False)
    elif verb == "signal":
        os.kill(program, int(argument))
    elif verb == "end":
        # A terminal is looked at before its program is gone: it goes with it.
        cooked = termios.tcgetattr(terminal)
        until = time.time() + PATIENCE
        while more(until):
            pass
        print(os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]))
