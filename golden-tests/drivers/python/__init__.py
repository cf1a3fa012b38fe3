"""The Python driver: calls the public surface of `memoir` for the golden corpus. It asserts nothing."""
