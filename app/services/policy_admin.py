"""The operator's side of policy: list, allow, remove, and bring it in line with a file. All of it audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from app.domain.people import Service
from app.domain.policies import Policy, Terms
from app.ports import Clock, Providers, Store, Transaction


@dataclass(frozen=True, slots=True)
class Difference:
    """What would have to change for one service."""

    service: str
    added: tuple[Terms, ...]
    removed: tuple[Policy, ...]


@dataclass(frozen=True)
class PolicyAdmin:
    """Changes policies. Methods raise ``ValueError`` with a sentence for operators; nothing is changed then.

    A change takes effect on every process within a second.
    """

    store: Store
    providers: Providers
    clock: Clock

    def all(self) -> Mapping[str, tuple[Policy, ...]]:
        """Return every service's name with its policies, oldest first."""
        with self.store.reading() as tx:
            return tx.policies.all()

    def allow(self, service_name: str, terms: Terms) -> Policy:
        """Add a policy and return it."""
        self._refuse(self._faults(terms))
        with self.store.transaction() as tx:
            return self._add(tx, _service(tx, service_name), terms)

    def remove(self, policy_id: UUID) -> Policy:
        """Remove a policy and return what it was."""
        with self.store.transaction() as tx:
            return self._remove(tx, policy_id)

    def replace(self, wanted: Mapping[str, Sequence[Terms]], *, is_dry_run: bool = False) -> tuple[Difference, ...]:
        """Make ``wanted`` the whole policy of the services it names; others keep theirs.

        Returns what changed, or would: services where nothing does are left out. A policy that stays keeps its id
        and what was counted against it.
        """
        self._refuse([f"{name}: {fault}" for name, held in wanted.items() for t in held for fault in self._faults(t)])
        with self.store.transaction() as tx:
            # Read with the services locked, so that two imports at once take turns.
            services = {name: _service(tx, name) for name in sorted(wanted)}
            differences = _differences(wanted, tx.policies.all_for_change(tuple(s.id for s in services.values())))
            for difference in () if is_dry_run else differences:
                for policy in difference.removed:
                    self._remove(tx, policy.id)
                for terms in difference.added:
                    self._add(tx, services[difference.service], terms)
        return differences

    def _faults(self, terms: Terms) -> list[str]:
        known = {provider.key for provider in self.providers.all()}
        unknown = terms.provider is not None and terms.provider not in known
        return [*terms.faults(), *([f"the providers file has no provider {terms.provider!r}"] if unknown else [])]

    def _refuse(self, faults: Sequence[str]) -> None:
        if faults:
            raise ValueError("\n".join(faults))

    def _add(self, tx: Transaction, service: Service, terms: Terms) -> Policy:
        policy, now = Policy(uuid4(), service.id, terms), self.clock()
        tx.policies.add(policy, now)
        tx.audit.event("policy_added", now, service_id=service.id, detail=described(policy))
        return policy

    def _remove(self, tx: Transaction, policy_id: UUID) -> Policy:
        policy = tx.policies.remove(policy_id)
        if policy is None:
            raise ValueError(f"there is no policy {policy_id}")
        tx.audit.event("policy_removed", self.clock(), service_id=policy.service_id, detail=described(policy))
        return policy


def described(policy: Policy) -> dict[str, str]:
    """Return what a policy says, for the audit: what was not limited is left out."""
    terms = policy.terms
    said = {
        "policy": str(policy.id),
        "provider": terms.provider,
        "features": " ".join(sorted(terms.features)),
        "purposes": " ".join(sorted(terms.purposes)) if terms.purposes is not None else None,
        "people": " ".join(sorted(terms.people)) if terms.people is not None else None,
        "until": _utc(terms.valid_until),
        "max_per_hour": str(terms.max_per_hour) if terms.max_per_hour is not None else None,
        "act_as": "yes" if terms.act_as else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _service(tx: Transaction, name: str) -> Service:
    found = tx.services.by_name(name)
    if found is None:
        raise ValueError(f"there is no service named {name}")
    return found


def _differences(
    wanted: Mapping[str, Sequence[Terms]], held: Mapping[str, tuple[Policy, ...]]
) -> tuple[Difference, ...]:
    found = []
    for name, terms in sorted(wanted.items()):
        left, removed = list(terms), []
        for policy in held.get(name, ()):
            if policy.terms in left:
                left.remove(policy.terms)
            else:
                removed.append(policy)
        if left or removed:
            found.append(Difference(name, tuple(left), tuple(removed)))
    return tuple(found)
