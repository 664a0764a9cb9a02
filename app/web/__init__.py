"""The only Flask: pages, the token endpoint, ``/v1``, provider hooks and health. Parses, calls one service, renders."""
