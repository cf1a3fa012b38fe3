"""What every adapter of a port has to pass: pytest classes to subclass with a fixture that opens the store.

Needs pytest, pytest-asyncio (auto mode) and hypothesis: `memoir-server[conformance]`. Call
`pytest.register_assert_rewrite("memoir_conformance")` in a conftest, so that a failure says what differs.
"""
