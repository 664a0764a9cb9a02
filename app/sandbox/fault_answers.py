"""Error answers in each provider's own words, for scripted faults."""

import json
from datetime import UTC, datetime
from typing import Any

from flask import Response

from app.sandbox.fault_plan import Fault, FaultKind

GATEWAY_PAGE = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Server Error</h1></body></html>"
CLAIMS = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNzAwMDAwMDAwIn19fQ=="
"""Base64 of a claims challenge with padding, as Graph sends (Microsoft identity platform, claims challenge)."""
REASONS = {401: "authError", 403: "rateLimitExceeded", 404: "notFound", 410: "fullSyncRequired", 429: "rateLimitExceeded"}
