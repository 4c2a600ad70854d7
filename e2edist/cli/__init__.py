"""What the verbs share: command line, console, signals, progress and closing tables."""
