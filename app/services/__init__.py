"""The use cases, one module each: they decide and order the steps, and do no I/O of their own."""
