"""The synchronous client, generated from `memoir.aio`. `memoir.client_sync` puts it together."""
