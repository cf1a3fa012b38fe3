"""Evidence recall: an external harness runs Memoir and its own baseline over the same conversations."""
