"""Our own cartridges: their source in C, the built ``.gb``, and how one becomes the other."""
