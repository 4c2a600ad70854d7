"""What people write, taggers, sites and campaigns, from TOML to frozen models."""
