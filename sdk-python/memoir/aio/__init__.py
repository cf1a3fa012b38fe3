"""The asynchronous client, one file per service. `memoir.client_async` puts it together."""
