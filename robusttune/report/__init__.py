"""The report: records in, tables and pages out."""
