"""flow-secrets-aws: secrets of the AWS Secrets Manager, for ``@secrets``."""
