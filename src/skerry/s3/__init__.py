"""The S3 protocol: requests, signatures, documents; decides nothing that the store should."""
