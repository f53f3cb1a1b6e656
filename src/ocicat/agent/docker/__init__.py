"""The agent's part as Docker's network and address driver: networks, addresses, endpoints, and the labels of containers."""
