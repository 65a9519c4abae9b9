"""Measurements that play all parties in one process: owner, cloud and attacker."""
