"""Outbound: the providers as authorization servers and calendars, behind one HTTP client."""
