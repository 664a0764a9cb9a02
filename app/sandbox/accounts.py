"""The invented people of the sandbox and their accounts at the emulated providers.

Addresses end in example.com and example.org, which belong to nobody (RFC 2606).
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from app.sandbox.settings import Provider

CONSUMER_TENANT_ID = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant that holds all personal Microsoft accounts (Microsoft identity platform, ID token reference)."""
_NAMESPACE = uuid.UUID("6f0c3b8e-6a55-4c8e-9f3c-0f6b1b0a5d11")


@dataclass(frozen=True)
class Tenant:
    """One Microsoft directory."""

    tid: str
    domain: str
    name: str
    demands_admin_consent: bool = False
    """True: people may not consent to more than sign-in; an administrator must consent for all first."""


@dataclass(frozen=True)
class Account:
    """One account of one person at one provider."""

    provider: Provider
    key: str
    """Short name for URLs of the sandbox; unique within the provider."""
    subject: str
    """Google and OIDC: the `sub` claim. Microsoft: the `oid` claim; its `sub` differs per client."""
    email: str
    given_name: str
    family_name: str
    time_zone: str
    """IANA name."""
    hd: str | None = None
    """Google Workspace domain; None for consumer accounts and other providers."""
    tid: str | None = None
    """Microsoft tenant id; None at other providers."""
    has_email_claim: bool = True
    """False: a Microsoft account whose ID token carries no `email`."""

    @property
    def name(self) -> str:
        """Return the display name."""
        return f"{self.given_name} {self.family_name}"

    @property
    def sub(self) -> str:
        """Return the subject; for Microsoft this is the object id."""
        return self.subject

    @property
    def oid(self) -> str:
        """Return the Microsoft object id."""
        return self.subject

    @property
    def is_personal(self) -> bool:
        """Tell whether this is a consumer account rather than one of an organisation."""
        if self.provider == "microsoft":
            return self.tid == CONSUMER_TENANT_ID
        return self.provider == "google" and self.hd is None


class UnknownAccountError(KeyError):
    """No account of that provider has that key."""


class Accounts:
    """All accounts and tenants of one sandbox."""

    def __init__(self, accounts: Iterable[Account], tenants: Iterable[Tenant]) -> None:
        """Index the given accounts and tenants."""
        self._by_key: dict[tuple[str, str], Account] = {(a.provider, a.key): a for a in accounts}
        self.tenants = {t.tid: t for t in tenants}

    def all(self, provider: str | None = None) -> list[Account]:
        """Return the accounts of `provider`, or of all providers, in the order of the seed."""
        return [a for a in self._by_key.values() if provider in (None, a.provider)]

    def by_key(self, provider: str, key: str) -> Account:
        """Return one account.

        Raises UnknownAccountError.
        """
        account = self._by_key.get((provider, key))
        if account is None:
            raise UnknownAccountError(f"{provider}/{key}")
        return account

    def add(self, accounts: Iterable[Account]) -> None:
        """Let further people have accounts."""
        self._by_key |= {(a.provider, a.key): a for a in accounts}

    def by_email(self, provider: str, email: str) -> Account | None:
        """Return the account with that address, ignoring case, or None."""
        found = (a for a in self.all(provider) if a.email.lower() == email.lower())
        return next(found, None)

    def by_subject(self, provider: str, subject: str) -> Account | None:
        """Return the account with that `sub` (Microsoft: `oid`), or None."""
        found = (a for a in self.all(provider) if a.subject == subject)
        return next(found, None)

    def tenant(self, segment: str) -> Tenant | None:
        """Return the tenant named by GUID or domain in a Microsoft path, or None."""
        found = (t for t in self.tenants.values() if segment.lower() in (t.tid, t.domain))
        return next(found, None)


def seeded_accounts() -> Accounts:
    """Return the world every sandbox starts with: six people, three providers."""
    alder = Tenant(_guid("tenant/alder"), "alder.example.org", "Alder Works")
    birch = Tenant(_guid("tenant/birch"), "birch.example.org", "Birch County", demands_admin_consent=True)
    consumers = Tenant(CONSUMER_TENANT_ID, "consumers", "Personal accounts")
    accounts = [
        _google("ada", "Ada", "Lindqvist", "ada@example.com", "Europe/Stockholm", "example.com"),
        _google("bruno", "Bruno", "Okafor", "bruno@example.com", "Europe/London", "example.com"),
        _google("ada-home", "Ada", "Lindqvist", "ada.lindqvist@example.org", "Europe/Stockholm", None),
        _microsoft("chiara", "Chiara", "Moretti", "chiara@alder.example.org", "Europe/Rome", alder),
        _microsoft("devon", "Devon", "Hale", "devon@alder.example.org", "America/New_York", alder),
        _microsoft("ada-personal", "Ada", "Lindqvist", "ada.personal@example.com", "Europe/Stockholm", consumers),
        _microsoft("esra", "Esra", "Yildiz", "esra@birch.example.org", "Europe/Istanbul", birch),
        _oidc("ada", "Ada", "Lindqvist", "ada@example.com", "Europe/Stockholm"),
        _oidc("bruno", "Bruno", "Okafor", "bruno@example.com", "Europe/London"),
        _oidc("farid", "Farid", "Nazari", "farid@example.com", "Asia/Tokyo"),
    ]
    return Accounts(accounts, [alder, birch, consumers])


def _guid(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def _google(key: str, given: str, family: str, email: str, zone: str, hd: str | None) -> Account:
    subject = str(uuid.uuid5(_NAMESPACE, f"google/{key}").int)[:21]
    return Account("google", key, subject, email, given, family, zone, hd=hd)


def _microsoft(key: str, given: str, family: str, email: str, zone: str, tenant: Tenant) -> Account:
    oid = _guid(f"microsoft/{key}")
    return Account("microsoft", key, oid, email, given, family, zone, tid=tenant.tid, has_email_claim=key != "devon")


def _oidc(key: str, given: str, family: str, email: str, zone: str) -> Account:
    return Account("oidc", key, f"acme-{_guid(f'oidc/{key}')[:8]}", email, given, family, zone)
