"""Plan models (R9): templates, one small file each, that turn a document into the meters, charges and pools of a custom
plan (D6). They know nothing of prices or rating; what they make is read and checked as if it had been listed."""
