"""The registry: experiments, models, schedules and runs, in one database."""
