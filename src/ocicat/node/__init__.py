"""The agent of this host as something that is kept running: by Docker, by systemd, or by a supervisor of ours."""
