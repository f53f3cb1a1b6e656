"""The command line. stdout is data, stderr is talk; exit 0 ok, 1 failed, 2 usage, 3 conflict, 4 unreachable, 5 not found."""
