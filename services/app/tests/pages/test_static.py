"""The files that pages load, as production serves them."""

import re

from django.core.management import call_command


def test_a_module_names_the_other_by_its_content(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "s3tasks.web.static.StaticStorage"},
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    (page,) = (tmp_path / "pages").glob("page.????????????.js")
    (named,) = re.findall(r'from "\./(transfer\.\w{12}\.js)"', page.read_text())
    assert (tmp_path / "pages" / named).is_file()
