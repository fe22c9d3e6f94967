"""The seeds of the results, and how far results differ from seed to seed."""

SEEDS = (1, 2, 3)


def spread(values, digits):
    """Mean, and in brackets the least and the greatest value."""
    mean = sum(values) / len(values)
    return f"{mean:{digits}} ({min(values):{digits}} to {max(values):{digits}})"
