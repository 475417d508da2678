"""What breaks behind the app, and that nothing is lost, leaked or taken for gone."""

import io
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from botocore.exceptions import ClientError

from tests.support.photos import photo, slow_image
from tests.support.stack import BUCKET, wait_for

PAGE_SECONDS = 3  # the longest that a page may take whatever is down


def answers_quickly(visitor, path: str = "/") -> str:
    """The page's text; fails where it took too long."""
    start = time.monotonic()
    answer = visitor.get(path)
    assert time.monotonic() - start < PAGE_SECONDS
    assert answer.status_code == 200
    return answer.text


class TestVanished:
    def test_an_object_deleted_behind_the_apps_back_takes_its_row_along(self, stack, visitor):
        visitor.upload_images(("a.png", photo(64, 48, "PNG")))
        visitor.wait_for_pictures(1)
        stack.delete({k for k in stack.objects() if k.startswith("images/")})
        wait_for(lambda: not visitor.pictures(), 60, "it is off the page")
        wait_for(lambda: stack.count("upload") == 0, 60, "its row is gone")
        stack.is_settled()

    def test_all_three_vanished_take_all_three_rows(self, stack, visitor):
        visitor.upload_images(*[(f"{n}.png", photo(64, 48, "PNG")) for n in range(3)])
        visitor.wait_for_pictures(3)
        stack.delete(stack.objects())
        wait_for(lambda: not visitor.pictures(), 60, "they are off the page")
        wait_for(lambda: stack.count("upload") == 0, 60, "their rows are gone")

    def test_the_whole_bucket_gone_removes_no_row(self, stack, visitor):
        visitor.upload_images(("a.png", photo(64, 48, "PNG")))
        visitor.wait_for_pictures(1)
        visitor.upload_file("a.txt", b"a")
        root = stack.s3(root=True)
        every_key = stack.keys()
        for key in every_key:  # the marker too, which the app may not delete
            root.delete_object(Bucket=BUCKET, Key=key)
        root.delete_bucket(Bucket=BUCKET)
        try:
            deadline = time.monotonic() + 35  # longer than the page remembers what it found
            while time.monotonic() < deadline:
                assert "a.txt" in answers_quickly(visitor, "/files/")
            assert stack.count("upload") == 2
            assert visitor.upload_file("b.txt", b"b").status_code == 503
        finally:
            stack.compose("up", "--detach", "--no-build", "minio-bootstrap")
            wait_for(lambda: _has_bucket(root), 60, "the bucket is there again")
        # Empty and ours again: now they have vanished indeed.
        stack.compose("exec", "-T", "web", "python", "manage.py", "pair_bucket", "--take")
        wait_for(lambda: "a.txt" not in visitor.get("/files/").text, 40, "off the page")
        visitor.upload_file("c.txt", b"c")
        assert "c.txt" in visitor.get("/files/").text


def _has_bucket(client) -> bool:
    try:
        return bool(client.head_bucket(Bucket=BUCKET))
    except ClientError:
        return False


class TestStorageStopped:
    def test_pages_answer_no_row_goes_and_a_failed_upload_leaves_nothing(self, stack, visitor):
        visitor.upload_images(("a.png", photo(64, 48, "PNG")))
        visitor.upload_file("a.txt", b"a")
        visitor.wait_for_pictures(1)
        stack.compose("stop", "minio")
        for _ in range(5):
            answers_quickly(visitor)
            assert "a.txt" in answers_quickly(visitor, "/files/")
        answer = visitor.upload_file("b.txt", b"b")
        assert answer.status_code == 503
        assert "is not responding" in answer.text
        assert stack.count("upload") == 2
        stack.up("minio")
        stack.is_settled(60)
        assert stack.count("upload") == 2


class TestRedis:
    """Each fault in the middle of uploads, and of deletions that are due."""

    @pytest.mark.parametrize("fault", ["flushed", "restarted", "silent"])
    def test_it_loses_nothing_and_pages_answer_meanwhile(self, stack, visitor, fault):
        due = [("file", (name, b"due")) for name in ("due.txt", "too.txt")]  # one link
        assert visitor.post("/files/", due, ttl=3).status_code == 200
        visitor.upload_images(("before.png", photo(640, 480, "PNG")))
        if fault == "flushed":
            stack.compose("exec", "-T", "redis", "redis-cli", "flushall")
        elif fault == "restarted":
            stack.compose("stop", "--timeout", "0", "redis")
        else:
            stack.compose("pause", "redis")
        try:
            for number in range(2):
                start = time.monotonic()
                answer = visitor.upload_images((f"{number}.png", photo(640, 480, "PNG")))
                assert answer.status_code == 200
                assert time.monotonic() - start < PAGE_SECONDS
                answers_quickly(visitor)
        finally:
            if fault == "silent":
                stack.compose("unpause", "redis")
            else:
                stack.up("redis")
        visitor.wait_for_pictures(3, seconds=60)
        wait_for(lambda: visitor.links("/files/") == [], 60, "what was due is off the page")
        wait_for(lambda: stack.count("upload") == 3, 60, "what was due is discarded")
        wait_for(lambda: stack.count("link") == 3, 60, "its link with it")
        stack.is_settled(60)


class TestWorkerKilled:
    def test_in_the_middle_of_a_purge_of_2000_objects(self, stack, visitor):
        put_files(stack, 2000)
        stack.compose("stop", "beat")
        stack.sql("UPDATE uploads_upload SET expires_at = now()")
        stack.up("beat")
        wait_for(lambda: len(stack.objects()) < 2000, 60, "the purge has begun")
        stack.kill("worker")
        stack.up("worker")
        stack.is_settled(120)
        assert (stack.count("upload"), stack.count("link"), stack.objects()) == (0, 0, set())

    def test_in_the_middle_of_making_an_image_safe(self, stack, visitor):
        visitor.upload_images(("large.png", slow_image()))
        wait_for(lambda: stack.count("upload", "attempts = 1"), 60, "the worker has begun")
        stack.kill("worker")
        assert stack.count("upload", "state = 'checking'") == 1
        stack.up("worker")
        stack.sql("UPDATE uploads_upload SET lease_until = now()")  # rather than wait for it
        visitor.wait_for_pictures(1, seconds=60)
        stack.is_settled(60)

    def test_an_image_that_kills_it_each_time_is_rejected_after_three_attempts(
        self, stack, visitor
    ):
        visitor.upload_images(("killer.png", slow_image()))
        for attempt in (1, 2, 3):
            wait_for(
                lambda n=attempt: stack.count("upload", f"attempts = {n}"), 60, f"attempt {attempt}"
            )
            stack.kill("worker")
            assert stack.count("upload", "state = 'checking'") == 1
            stack.up("worker")
            stack.sql("UPDATE uploads_upload SET lease_until = now()")
        wait_for(lambda: "three times" in visitor.get().text, 60, "it is rejected")
        wait_for(lambda: not stack.objects(), 60, "nothing of it is left")


FILES_A_LINK = 4


def put_files(stack, count: int) -> None:
    """So many live files, four behind each link, with their objects, as the app writes them."""
    stack.sql(
        "INSERT INTO uploads_link (id, token, kind, owner, name, ttl, expires_at, password)"
        " SELECT gen_random_uuid(), left(md5(n::text), 22), 'file', gen_random_uuid(), '',"
        " '1 hour', now() + interval '1 hour', ''"
        f" FROM generate_series(1, {count // FILES_A_LINK}) n"
    )
    stack.sql(
        "INSERT INTO uploads_upload (id, kind, state, owner, link_id, filename, size_bytes,"
        " content_type, reason, expires_at, attempts)"
        " SELECT gen_random_uuid(), 'file', 'ready', owner, id, n || '.txt', 1, '', '',"
        f" expires_at, 0 FROM uploads_link, generate_series(1, {FILES_A_LINK}) n"
    )
    client = stack.s3()
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=b"x"),
                stack.rows_objects(),
            )
        )
    assert len(stack.objects()) == count


class TestForeignBucket:
    def test_nothing_is_removed_from_it_and_the_sweep_says_why(self, stack, visitor):
        client = stack.s3()
        ours = client.get_object(Bucket=BUCKET, Key="marker")["Body"].read()
        visitor.upload_file("a.txt", b"a")
        before = stack.objects()
        client.put_object(Bucket=BUCKET, Key="marker", Body=io.BytesIO(str(uuid.uuid4()).encode()))
        try:
            stack.sql("UPDATE uploads_upload SET expires_at = now()")
            error = wait_for(
                lambda: stack.sql(
                    "SELECT last_error FROM uploads_sweep WHERE name = 'purge' AND last_error <> ''"
                ),
                20,
                "the sweep's row",
            )
            assert "belongs to the installation" in error[0][0]
            assert stack.objects() == before
            assert requests.get(stack.page, timeout=PAGE_SECONDS).status_code == 200
        finally:
            client.put_object(Bucket=BUCKET, Key="marker", Body=ours)
        stack.is_settled(60)
        assert stack.objects() == set()
