"""Games: the rules by which networks are trained, their objectives, schedules and priors."""
