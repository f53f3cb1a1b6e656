"""The real Apache Mesos 1.11 on a lab host: master, agent, containerizer and a command executor.

The Apache Mesos project publishes its native scheduler library on PyPI with all of libmesos linked in. `library` obtains it and
makes it load on today's Debian, `native` binds it, `master` and `agent` are executables made of it, `launcher` writes the two
helpers an agent starts (`containerizer`, `executor`), and `cleanup` removes what a killed agent leaves behind.
"""
