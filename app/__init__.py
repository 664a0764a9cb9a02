"""Latchkey: a self-hosted connector service for delegated access.

The floor plan, and which room may import which, is in ``docs/architecture.md``.
"""

import zoneinfo

# Zones come from the locked tzdata package alone. A system's own copy may be years behind or change under a running
# installation, and ``app.domain.recurrence.expander_version`` could not name it.
zoneinfo.reset_tzpath(to=())
