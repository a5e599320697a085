"""Fresh students: when they are retrained, on what, and whether they may serve.

A schedule queues a run. A run turns a closed window of events into training
data, distils a new version, compares it with the champion, and starts an
experiment with it when it is not worse.
"""
