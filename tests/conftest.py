"""Settings that every test runs under."""

from __future__ import annotations

import os

# Tests run side by side, one per core: libraries that start a thread per core would only wait for
# each other. This must stand before anything imports numpy or torch.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# No window is ever opened, and nothing looks for one.
os.environ["MPLBACKEND"] = "Agg"
os.environ["SDL_VIDEODRIVER"] = "dummy"
