"""Remembering with a language model, the part without input and output: windows, what is asked, what is read from an
answer, and what follows from it. Every step is a function of its own; the service strings them together.

Nothing here trusts the model. An answer is text from a stranger until `extraction` or `reconciliation` has read it,
`grounding` has found its quotes, and `planning` has kept it to the memories that were offered.
"""
