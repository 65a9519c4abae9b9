"""Photographs in, aligned crops and face sets out."""
