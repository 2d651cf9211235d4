"""Samples for training: batches, windows over time, and what PyTorch and TensorFlow load them with.

What is loaded is anything that has samples by number (`fields.Samples`): the aligned rows of a run,
of many runs, or an exported session. No framework is imported before it is asked for.
"""
