"""How fast graphrec is, beside other libraries and against its own promise of linear cost. See README.md here."""

import os

# torch's profiler, which measures memory, would tell of each of its stages.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
