"""flow-secrets-aws: secrets from the AWS Secrets Manager."""
