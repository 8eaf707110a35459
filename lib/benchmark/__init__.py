"""The study's speed against its floors."""
