"""What `make test` leaves to targets of its own: `make fuzz` and `make faults` take minutes and set the variable."""

import os

collect_ignore: list[str] = []
if not os.environ.get("MEMOIR_FUZZ"):
    collect_ignore.append("fuzz")
if os.environ.get("MEMOIR_FAULTS") != "all":
    collect_ignore += ["faults/test_steps.py", "faults/test_files.py"]
