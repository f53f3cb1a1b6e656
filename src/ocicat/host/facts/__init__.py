"""What is looked at to tell whether a host is fit: one module per field, each with a record and the function that fills it."""
