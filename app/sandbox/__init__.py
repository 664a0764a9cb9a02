"""Emulate Google, Microsoft and an OpenID Connect provider for development and tests.

Stands alone: it speaks HTTP with the product, with the providers' own client libraries and with a browser, and imports
nothing of the product. Everything here is invented; nothing reaches the real providers.
"""
