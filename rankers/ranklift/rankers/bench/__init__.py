"""Load on servers that rank, and what it shows: latency, throughput, share of the machine.

`questions` says what is asked, `arrivals` when; `load` asks an endpoint and `outcomes` sums up
what came back, without a clock or a socket of their own. `endpoints` speaks with servers: gRPC
ranklift and REST rerank. `rounds` alternates them and `report` writes it down. `flops` and `peak`
relate the pairs answered to what the machine can compute; only `peak` needs torch.
"""
