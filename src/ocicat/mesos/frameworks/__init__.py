"""What other frameworks take, and what they send to Mesos for it: Marathon, Singularity, Spark and mesos-execute. PURE.

Every field of their input is one of three: it is honoured; it is told, where it changes nothing here (`remarks`); or it is refused,
with the reason. None is passed over in silence.
"""
