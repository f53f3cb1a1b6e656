"""What is wrong with a host, what it breaks, and how to mend it. Pure: from facts to findings, one module per field.

1. A host that is fit has none. 2. Each names one thing to do, and something that really fails or suffers without it.
"""
