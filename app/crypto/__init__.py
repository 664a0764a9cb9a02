"""The only cipher: AES-256-GCM under a key ring, bound to what it belongs to. Does no I/O but reading the ring."""
