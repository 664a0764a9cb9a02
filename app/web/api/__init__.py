"""What programs call: the token endpoint, ``/v1``, provider hooks and health."""
