"""Criteria that a measurement must meet."""


def print_criteria(met: dict[str, bool]) -> bool:
    """Print whether each criterion is met, and return whether all are. The keys say what a criterion is."""
    for criterion, is_met in met.items():
        print(f"  {'pass' if is_met else 'MISS'}: {criterion}")
    return all(met.values())
