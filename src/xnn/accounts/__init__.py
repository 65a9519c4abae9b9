"""Who may do what: API keys, roles, tenants, and the record of what was done."""
