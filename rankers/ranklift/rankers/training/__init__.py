"""How rankers are made: click pre-training, rank fine-tuning, distillation.

    clicks --cpt--> language model --sft--> teacher --scoring--> scores --distil--> student

The stages follow DisRanker (arXiv 2411.04539). Each takes values and options,
and leaves a complete artefact. `loop` is what they share; `batches` feeds it.
"""
