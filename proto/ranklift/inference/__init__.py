"""The Open Inference Protocol v2, as Triton, KServe and their clients speak it.

The standard fixes every name and number in `open_inference.proto`. Its symbols may be registered
once in a process, so that one process holds either these modules or those of `tritonclient`.
"""
