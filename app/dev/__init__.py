"""Run and check Latchkey on one machine: embedded servers, supervisor, development commands.

Nothing here runs in production: there the platform starts the lines of the Procfile.
"""
