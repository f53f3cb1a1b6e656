"""What of a host is changed beside whole files, each as a setting that is read, written and taken back by its name."""
