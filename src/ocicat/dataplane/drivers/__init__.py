"""One module for each kind of kernel object: they do what they are told, and say what the kernel said."""
