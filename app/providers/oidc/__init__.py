"""Operator-defined OpenID Connect providers."""
