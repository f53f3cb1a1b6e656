"""A host before it is part of a cluster: what is wrong with it, and what makes it fit."""
