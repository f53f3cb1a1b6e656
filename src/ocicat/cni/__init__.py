"""The CNI plugin: a tiny relay that a runtime executes, and the protocol that the agent speaks behind it.

Source: Container Network Interface specification, versions 0.1.0 to 1.1.0.
"""
