"""Methods over seeds: their curves and final scores, with intervals."""
