"""What rankers learn from and are judged on, from files to lists.

    judged       the one value that every reader returns: queries, documents, grades, candidates
    trec         runs and qrels
    msmarco      collection, queries, triples
    jsonl        one list a line
    irds         whatever ir_datasets knows
    negatives    which documents stand for "not relevant"
    splits       folds by query
    leakage      what two splits share

The BEIR layout and the event log belong to other parts; the command line brings them here.
"""
