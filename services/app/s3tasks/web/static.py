"""Static files under names that contain a hash of their content."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # has no types
    """Also replaces names in the imports of JavaScript modules; otherwise a browser could mix
    modules of two releases."""

    support_js_module_import_aggregation = True
