"""Everything that proves who calls and for whom, joined on one set of implementations."""

from __future__ import annotations

from dataclasses import dataclass

from app.ports import Clock, Sealer, Store, TokenReader, TokenSigner, TrustedIssuers
from app.services.client_assertions import ClientAssertions
from app.services.service_registry import ServiceRegistry
from app.services.service_statements import ServiceStatements
from app.services.service_tokens import ServiceTokens
from app.services.signing_keys import SigningKeys
from app.services.subjects import Subjects


@dataclass(frozen=True, slots=True)
class SignedTokenParts:
    """What signs our tokens and what reads everybody's."""

    signer: TokenSigner
    reader: TokenReader
    workload_issuers: TrustedIssuers
    user_issuers: TrustedIssuers


@dataclass(frozen=True, slots=True)
class Callers:
    """The use cases around callers; secrets are in ``ServiceClients``."""

    tokens: ServiceTokens
    assertions: ClientAssertions
    subjects: Subjects
    statements: ServiceStatements
    signing_keys: SigningKeys
    registry: ServiceRegistry

    def tidy(self) -> None:
        """Rotate signing keys by age, and forget what has ended. Safe to repeat, at any time, by anybody."""
        self.signing_keys.keep_up()
        self.statements.forget_used()
        self.tokens.forget_revoked()


def build_callers(store: Store, sealer: Sealer, parts: SignedTokenParts, issuer: str, clock: Clock) -> Callers:
    """Return the use cases; ``issuer`` is our public address, which is also what statements must be meant for."""
    reader = parts.reader
    statements = ServiceStatements(store, reader, issuer, clock)
    keys = SigningKeys(store, parts.signer, sealer, clock)
    return Callers(
        tokens=ServiceTokens(store, keys, reader, issuer, clock),
        assertions=ClientAssertions(store, reader, statements, parts.workload_issuers, clock),
        subjects=Subjects(store, reader, statements, parts.user_issuers, clock),
        statements=statements,
        signing_keys=keys,
        registry=ServiceRegistry(store, sealer, reader, parts.workload_issuers, clock),
    )
