"""Logs of searches that really happened, of several origins, as one value.

`read_log` takes a file or folder: ranklift's own export, OpenSearch UBI, and the
formats of the TianGong-ST and the Yandex relevance-prediction data.
"""
