"""A small authority for the certificates of the core services and their clients. The program `openssl` does the cryptography."""
