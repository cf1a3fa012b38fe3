"""What is run against a real provider by `make live-llm`, and by nothing else: files here are no tests of pytest's."""
