"""The store ``gs``: flow's data in Google Cloud Storage."""
