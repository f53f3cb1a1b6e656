"""ZooKeeper and etcd as a cluster's core services: set up on each host by the same command, watched, saved, upgraded, removed."""
