"""What commands are given: texts, pipelines, languages."""
