"""Microsoft identity platform and Graph."""
