"""The shared back end: an etcd v3 cluster. Alone in knowing gRPC and protobuf, which come with the extra `ocicat[etcd]`."""
