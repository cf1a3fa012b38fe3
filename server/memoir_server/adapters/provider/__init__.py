"""What the clients of model providers have in common: keys, failures, HTTP."""
