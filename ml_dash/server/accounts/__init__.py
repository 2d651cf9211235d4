"""Accounts: users and what they own, how they prove who they are, and the pages for it."""
