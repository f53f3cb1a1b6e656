"""The plugin for Mesos 0.24 to 0.28: the network isolator module (net-modules) runs it for each step of a container's life."""
