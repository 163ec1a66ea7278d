"""The models of a server for the apps of its worlds: keys, quotas, and what can be asked."""
