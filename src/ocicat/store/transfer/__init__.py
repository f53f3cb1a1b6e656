"""A whole datastore carried elsewhere: into a file and back, or from one back end to another."""
