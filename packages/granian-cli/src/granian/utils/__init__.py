"""Helpers for applications."""
