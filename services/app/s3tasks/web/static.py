"""Static files under names that their content decides."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # has no types
    """Also where one module imports another: else a browser could mix two releases' modules."""

    support_js_module_import_aggregation = True
