"""Where runs and data live: files that appear whole, and objects in a store such as S3."""
