"""Searches over recorded learning curves of translation models: what does each way to search pay for the best one?"""
