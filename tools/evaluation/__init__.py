"""What pictures are judged by: one evaluator for every generator."""
