"""What a campaign has done and costs: progress, telemetry, summary, usage, bill, forecast, data quality."""
