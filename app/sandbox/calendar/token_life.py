"""Decide how long sync, delta and page tokens are good: until the account's are expired by hand, or for a set time.

Google does not publish how long its sync tokens live, and Graph's fall out of a cache; a client has to start over
whenever it is told to.
"""

from app.sandbox.calendar.world import Json
from app.sandbox.state import current_sandbox


def stamp(generation: int) -> Json:
    """Return the members by which a token made now ages."""
    return {"g": generation, "t": current_sandbox().clock.timestamp()}


def is_over(content: Json, generation: int) -> bool:
    """Tell whether a token is of an older generation than `generation`, or has lived its time."""
    if content["g"] < generation:
        return True
    state = current_sandbox()
    life_s, now_s = state.runtime.sync_token_life_s, state.clock.timestamp()
    # A token from before tokens had a time counts as new.
    return life_s is not None and now_s - int(content.get("t", now_s)) >= life_s
