"""The address of the registered captioner in MLflow models made before lib had rooms."""

from lib.captioning.registered_captioner import _load_pyfunc

__all__ = ["_load_pyfunc"]
