"""What a campaign leaves on disk, as types: chunks, receipts, failures, jobs. One codec each."""
