"""One file a command: its parser and the function that runs it."""
