"""The store ``azure``: flow's data in Azure Blob Storage."""
