"""What has to be there for a host to be fit, one module per field: from what was asked and found to items, wishes and remarks.

What is planned does not depend on whether an earlier run has done it already: else the next run would take it back.
"""
