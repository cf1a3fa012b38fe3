"""Language models behind :class:`memoir_server.ports.reasoner.Reasoner`, one file per API."""
