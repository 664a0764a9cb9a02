"""What is true without a computer: words, rules and errors. Pure; no I/O, no clock."""
