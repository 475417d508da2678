"""What S3 answers, where the local disk stands in for it."""
