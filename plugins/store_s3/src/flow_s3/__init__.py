"""flow-s3: keeps flow artifacts in S3, and in what speaks its language."""
