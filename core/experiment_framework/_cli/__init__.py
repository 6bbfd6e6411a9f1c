"""The ``experiment`` command: a module per command, `main` is where errors become exit codes."""
