"""Worker processes that joblib starts are accelerated as this one is."""


def install() -> None:
    """Have tasks for other processes turn acceleration on there."""


def uninstall() -> None:
    """Have them no longer do so."""
