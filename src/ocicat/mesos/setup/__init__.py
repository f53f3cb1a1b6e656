"""Making a host's Mesos agent use ocicat: what it has, what it needs, what is wrong, and the way back."""
