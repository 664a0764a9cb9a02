"""Latchkey: a self-hosted connector service for delegated access.

The floor plan, and which room may import which, is in ``docs/architecture.md``.
"""
