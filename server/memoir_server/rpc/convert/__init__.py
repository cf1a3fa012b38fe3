"""Converters between messages of the contract and domain objects. Messages are written in place, which is quickest."""
