"""Floor 2: model runtimes, one module each."""
