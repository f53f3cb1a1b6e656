"""Other hands in this host's kernel: heard, named, and turned into what is worth reading back."""
