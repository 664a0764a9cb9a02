"""Scope strings as Entra writes them, and as we do.

Entra answers with short names or full addresses, in changing case, without ``offline_access``, and with scopes
granted earlier. Source: Microsoft identity platform, "scopes and permissions".
"""

from __future__ import annotations

from collections.abc import Iterable

from app.domain.features import MICROSOFT_SCOPES

GRAPH = "https://graph.microsoft.com/"
RESERVED = frozenset({"openid", "profile", "offline_access"})
"""Added to every request by msal, which refuses them as arguments."""

_CANONICAL = {scope.lower(): scope for scopes in MICROSOFT_SCOPES.values() for scope in scopes}


def short(scope: str) -> str:
    """Return ``scope`` without the Graph address and in the spelling of ``domain.features`` when it is known there."""
    name = scope[len(GRAPH) :] if scope.lower().startswith(GRAPH) else scope
    return _CANONICAL.get(name.lower(), name)


def short_list(scope: str) -> str:
    """Return a space-separated scope list with every element made short."""
    return " ".join(short(part) for part in scope.split())


def for_refresh(scopes: Iterable[str]) -> list[str]:
    """Return what a refresh asks for: the granted Graph scopes, of one resource, without the reserved ones."""
    return sorted({short(scope) for scope in scopes} - RESERVED)
