"""Who calls, by a signed assertion instead of a shared secret (RFC 7521 section 4.2, RFC 7523 section 2.2).

Either the service signed it with a key of its own (``private_key_jwt``), or a trusted issuer made it for the workload
the service runs as: a Kubernetes service account, a job of a build service.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import ClientFrozen, InvalidClient, SignedTokenInvalid
from app.domain.people import Service
from app.domain.signed_tokens import CLIENT_AUTHENTICATION_TYPE, PLAIN_TYPES, check_issued
from app.ports import Clock, Store, TokenReader, TrustedIssuer, TrustedIssuers
from app.services.service_statements import ServiceStatements

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_STATEMENT_TYPES = PLAIN_TYPES | {CLIENT_AUTHENTICATION_TYPE}


@dataclass(frozen=True)
class ClientAssertions:
    """Authenticates services by assertion."""

    store: Store
    reader: TokenReader
    statements: ServiceStatements
    workload_issuers: TrustedIssuers
    clock: Clock

    def authenticate(self, assertion_type: str | None, assertion: str, client_id: str | None) -> Service:
        """Return the calling service. ``client_id`` is null or must name the same service.

        Raises ``InvalidClient`` for whatever is wrong, ``ClientFrozen``, and ``KeysUnavailable``.
        """
        if assertion_type != ASSERTION_TYPE:
            raise InvalidClient("client_assertion_type")
        try:
            service = self._identify(assertion, client_id)
        except SignedTokenInvalid as cause:
            raise InvalidClient(cause.detail) from cause
        if not service.is_enabled:
            raise ClientFrozen
        return service

    def _identify(self, assertion: str, client_id: str | None) -> Service:
        claimed = self.reader.glance(assertion).issuer
        trusted = self.workload_issuers.of(claimed)
        if trusted is not None:
            return self._workload(trusted, assertion, client_id)
        if client_id not in {None, claimed}:
            raise SignedTokenInvalid("client_id")
        statement = self.statements.verify(claimed, assertion, _STATEMENT_TYPES)
        if statement.token.subject != claimed:
            raise SignedTokenInvalid("sub")
        self.statements.use(statement)
        return statement.service

    def _workload(self, trusted: TrustedIssuer, assertion: str, client_id: str | None) -> Service:
        """Return the one service whose pattern the subject fits.

        The token may be used again until it ends: its workload reads the same file for an hour.
        """
        token = trusted.verify(assertion)
        check_issued(token, trusted.audience, self.clock(), alone=True)
        subject = token.text(trusted.subject_claim)
        with self.store.reading() as tx:
            workloads = tx.credentials.workloads_of(trusted.key)
        fitting = {workload.service for workload in workloads if workload.pattern.matches(subject)}
        named = {service for service in fitting if client_id in (None, service.name)}
        if len(named) != 1:
            # Two services whose patterns overlap: the caller has to say which it is.
            raise SignedTokenInvalid("workload")
        return named.pop()
