"""Which issuer of the Microsoft identity platform an ID token comes from.

Source: Microsoft identity platform, "ID tokens" and "signing key rollover": on shared authorities the issuer is a
template, and each key says for which issuer it may sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.domain.errors import IDTokenInvalid
from app.providers.id_tokens import Claims
from app.providers.key_sets import SigningKey

TEMPLATE = "https://login.microsoftonline.com/{tenantid}/v2.0"
PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class TenantRule:
    """Which tenants may connect. An ``id_tokens.IssuerRule``."""

    tenant: str
    """The configured path segment."""
    allowed_tenants: frozenset[str]
    """Tenant ids; empty allows every tenant the path segment lets through."""
    allow_personal_accounts: bool

    def __call__(self, claims: Claims, key: SigningKey) -> str:
        """Return the token's issuer with its tenant filled in; raises ``IDTokenInvalid``."""
        tenant = _guid(claims, "tid")
        _guid(claims, "oid")
        if claims.get("ver") != "2.0":
            raise IDTokenInvalid("ver")
        issuer = TEMPLATE.replace("{tenantid}", tenant)
        if claims.get("iss") != issuer:
            raise IDTokenInvalid("iss")
        # A key of the consumer tenant must not vouch for an organisation, nor the other way round.
        if key.issuer is not None and key.issuer.replace("{tenantid}", tenant) != issuer:
            raise IDTokenInvalid("key_issuer")
        if not self._admits(tenant):
            raise IDTokenInvalid("tenant")
        return issuer

    def _admits(self, tenant: str) -> bool:
        segment = self.tenant.lower()
        is_personal = tenant == PERSONAL_TENANT
        if is_personal and not self.allow_personal_accounts:
            return False
        if segment == "common":
            return self._listed(tenant)
        if segment == "consumers":
            return is_personal and self._listed(tenant)
        if _GUID.fullmatch(segment):
            return segment == tenant and self._listed(tenant)
        # "organizations", or a domain: which tenant that is only Entra knows, and it issued the token there.
        return not is_personal and self._listed(tenant)

    def _listed(self, tenant: str) -> bool:
        return not self.allowed_tenants or tenant in self.allowed_tenants


def _guid(claims: Claims, name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not _GUID.fullmatch(value):
        raise IDTokenInvalid(name)
    return value
