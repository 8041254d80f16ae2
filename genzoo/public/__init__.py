"""Public names: imported when first used, warned of before they go, and described field by field."""
