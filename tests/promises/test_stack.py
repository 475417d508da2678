"""What the page promises, against the containers with MinIO."""

import io
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import requests
from PIL import Image

from tests.support.photos import bomb, damaged, photo, photo_of_a_phone
from tests.support.stack import Visitor, wait_for


def test_a_photo_is_shown_from_the_address_that_a_browser_uses(stack, visitor):
    visitor.upload_images(("photo.jpg", photo(1600, 1200)))
    (picture,) = visitor.wait_for_pictures(1)
    assert picture.startswith(f"http://localhost:{stack.ports['MINIO_PORT']}/")
    answer = requests.get(picture, timeout=30)
    assert answer.headers["Content-Type"].startswith("image/")
    (link,) = visitor.links()
    shared = requests.get(link, timeout=30)
    assert shared.headers["Content-Type"] == "image/jpeg"
    assert shared.headers["Content-Disposition"] == "inline"


def test_a_fourth_image_leaves_three_rows_and_exactly_their_objects(stack, visitor):
    for number in range(4):
        visitor.upload_images((f"{number}.png", photo(64, 48, "PNG")))
    stack.is_settled()
    assert stack.count("upload") == 3
    assert len(stack.objects()) == 6
    names = {name for (name,) in stack.sql("SELECT filename FROM uploads_upload")}
    assert names == {"1.png", "2.png", "3.png"}


def test_a_photo_is_served_upright_and_without_its_metadata(stack, visitor):
    content = photo_of_a_phone()
    assert all(trace in content for trace in TRACES)
    visitor.upload_images(("photo.jpg", content))
    (thumbnail,) = visitor.wait_for_pictures(1)
    (link,) = visitor.links()
    for address in (link, thumbnail):
        served = requests.get(address, timeout=30).content
        assert not [trace for trace in TRACES if trace in served]
        with Image.open(io.BytesIO(served)) as image:
            assert image.width < image.height
            assert not image.getexif()
            red, _, blue = image.convert("RGB").getpixel((image.width // 2, image.height // 4))
        assert red > 200
        assert blue < 50


TRACES = [b"Exif", b"secret"]


def test_a_picture_of_900_megapixels_is_refused_without_the_worker_growing(stack, visitor):
    visitor.upload_images(("first.jpg", photo(64, 48)))
    visitor.wait_for_pictures(1)
    before = stack.memory("worker", "VmRSS")
    visitor.upload_images(("bomb.png", bomb()))
    wait_for(lambda: "million pixels" in visitor.get().text, 60, "it is refused")
    grown = stack.memory("worker", "VmHWM") - before
    print(f"the worker grew by {grown / 1024**2:.1f} MiB")
    assert grown < 8 * 1024**2


def test_it_leaves_the_page_the_second_it_expires_and_storage_soon_after(stack, visitor):
    stack.up("web", UPLOAD_TTL=5)
    try:
        visitor.get()
        visitor.upload_file("report.txt", b"report")
        link = visitor.links("/files/")[0]
        assert requests.get(link, timeout=30).content == b"report"
        (moment,) = stack.sql("SELECT extract(epoch FROM expires_at) FROM uploads_upload")[0]
        expires_at = float(moment)
        asked = last_seen = 0.0
        while asked <= expires_at:
            asked = time.time()
            if visitor.links("/files/"):
                last_seen = asked
        assert expires_at - 1 < last_seen < expires_at
        assert requests.get(link, timeout=30).status_code == 404
        wait_for(lambda: not stack.objects(), 30, "its object is gone soon after")
        assert time.time() < expires_at + 7
    finally:
        stack.up("web", UPLOAD_TTL=900)


def test_what_it_did_is_in_flower_and_the_ticks_that_found_nothing_are_not(stack, visitor):
    visitor.upload_file("a.txt", b"a", ttl=1)
    task = wait_for(
        lambda: next((t for t in stack.tasks() if t["name"] == "expire"), None), 60, "the task"
    )
    task = wait_for(
        lambda: next((t for t in stack.tasks() if t["uuid"] == task["uuid"] and t["result"]), None),
        20,
        "its result",
    )
    assert task["result"].replace('"', "'") == "{'expired': 1, 'purged': 1}"
    assert "tick" not in {t["name"] for t in stack.tasks()}


def test_flower_is_closed_without_its_password(stack):
    assert requests.get(stack.flower, timeout=30).status_code == 401
    assert requests.get(f"{stack.flower}/api/tasks", timeout=30).status_code == 401
    assert requests.get(stack.flower, auth=("s3tasks", "wrong"), timeout=30).status_code == 401


def test_delete_all_leaves_only_the_marker_in_the_bucket(stack, visitor):
    for number in range(2):
        visitor.upload_images((f"{number}.png", photo(64, 48, "PNG")))
        visitor.upload_file(f"{number}.txt", b"text")
    visitor.wait_for_pictures(2)
    visitor.post("/images/clear/")
    visitor.post("/files/clear/")
    assert visitor.links() == visitor.links("/files/") == []
    wait_for(lambda: stack.keys() == {"marker"}, 60, "only the marker is left")


def test_a_file_comes_back_byte_for_byte_under_its_own_name(stack, visitor):
    for name in ("report.pdf", "ção 日本.pdf"):
        content = bytes(range(256)) * 5000
        visitor.upload_file(name, content)
        answer = requests.get(visitor.links("/files/")[0], timeout=30)
        assert answer.content == content
        disposition = answer.headers["Content-Disposition"]
        assert disposition.startswith("attachment")
        assert requests.utils.quote(name) in disposition or name in disposition


def test_ten_images_at_once_leave_three_and_exactly_their_objects(stack, visitor):
    visitor.get()
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda n: visitor.upload_images((f"{n}.jpg", photo(320, 240))), range(10))
        )
    assert {answer.status_code for answer in answers} == {200}
    stack.is_settled()
    assert stack.count("upload") == 3
    assert len(stack.objects()) == 6


def test_a_fourth_image_that_cannot_be_decoded_pushes_nothing_out(stack, visitor):
    visitor.upload_images(*[(f"{n}.png", photo(64, 48, "PNG")) for n in range(3)])
    kept = set(visitor.wait_for_pictures(3))
    visitor.upload_images(("broken.jpg", damaged(photo(640, 480))))
    wait_for(
        lambda: "broken.jpg" in (text := visitor.get().text) and "damaged" in text.lower(),
        15,
        "the page says that it was rejected, and why",
    )
    stack.is_settled()
    assert len(visitor.pictures()) == len(kept) == 3
    assert stack.count("upload", "state = 'ready'") == 3


def test_a_stranger_cannot_list_delete_or_clear(stack, visitor, stranger):
    visitor.upload_file("mine.txt", b"mine")
    upload = stack.sql("SELECT id FROM uploads_upload")[0][0]
    assert stranger.links("/files/") == []
    assert stranger.post(f"/uploads/{upload}/delete/").status_code == 404
    stranger.post("/files/clear/")
    stranger.post("/images/clear/")
    assert requests.get(visitor.links("/files/")[0], timeout=30).content == b"mine"


def test_on_a_shared_board_everybody_sees_and_deletes_everything(stack):
    stack.up("web", SHARED_BOARD=True)
    try:
        one, other = Visitor(stack.page), Visitor(stack.page)
        one.upload_file("ours.txt", b"ours")
        one.upload_file("too.txt", b"too")
        assert len(other.links("/files/")) == 2
        upload = stack.sql("SELECT id FROM uploads_upload")[0][0]
        assert other.post(f"/uploads/{upload}/delete/").status_code == 200
        assert len(one.links("/files/")) == 1
        other.post("/files/clear/")
        assert one.links("/files/") == []
    finally:
        stack.up("web", SHARED_BOARD=False)


def test_a_file_over_the_limit_gets_a_message_and_nothing_is_stored(stack, visitor):
    visitor.get()
    answer = visitor.upload_images(("big.jpg", photo(64, 48) + bytes(21 * 1024 * 1024)))
    assert answer.status_code == 422
    assert "too large" in answer.text
    assert stack.count("upload") == 0
    assert stack.objects() == set()


def test_a_forged_csrf_token_is_refused_and_nothing_is_stored(stack, visitor):
    visitor.get()
    visitor.token = "x" * 64
    assert visitor.upload_file("a.txt", b"a").status_code == 403
    assert (stack.count("upload"), stack.objects()) == (0, set())


def test_the_app_has_no_more_rights_than_its_policy_gives(stack):
    import pytest
    from botocore.exceptions import ClientError

    client = stack.s3()
    marker = {"Bucket": "s3tasks", "Key": "marker"}
    for forbidden in (
        lambda: client.list_buckets() and client.delete_bucket(Bucket="s3tasks"),
        lambda: client.create_bucket(Bucket="another"),
        lambda: client.put_bucket_policy(Bucket="s3tasks", Policy="{}"),
        lambda: client.put_object(Bucket="s3tasks", Key="elsewhere/a", Body=b"1"),
        lambda: client.put_object(Bucket="s3tasks", Key="files", Body=b"1"),
        lambda: client.copy_object(Bucket="s3tasks", Key="marker2", CopySource=marker),
        lambda: client.create_multipart_upload(Bucket="s3tasks", Key="elsewhere/a"),
        lambda: client.delete_object(**marker),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|Access Denied"):
            forbidden()


def test_the_app_can_make_itself_no_keys_that_outlive_its_own(stack):
    import boto3
    import pytest
    from botocore.exceptions import ClientError
    from minio import MinioAdmin
    from minio.credentials import StaticProvider
    from minio.error import MinioAdminException

    key, secret = stack.env["AWS_ACCESS_KEY_ID"], stack.env["AWS_SECRET_ACCESS_KEY"]
    place = stack.storage.partition("://")[2]
    admin = MinioAdmin(endpoint=place, credentials=StaticProvider(key, secret), secure=False)
    for forbidden in (
        lambda: admin.add_service_account(access_key="mine12345", secret_key="mine12345"),
        lambda: admin.user_add(key, "another-secret"),
        admin.user_list,
    ):
        with pytest.raises(MinioAdminException, match="AccessDenied"):
            forbidden()

    # Temporary ones MinIO gives to anybody; these open nothing.
    signed = {"aws_access_key_id": key, "aws_secret_access_key": secret}
    sts = boto3.client("sts", endpoint_url=stack.storage, region_name="us-east-1", **signed)
    given = sts.assume_role(RoleArn="arn:aws:iam::0:role/any", RoleSessionName="it")["Credentials"]
    temporary = boto3.client(
        "s3",
        endpoint_url=stack.storage,
        region_name="us-east-1",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    for forbidden in (
        lambda: temporary.list_objects_v2(Bucket="s3tasks"),
        lambda: temporary.get_object(Bucket="s3tasks", Key="marker"),
        lambda: temporary.put_object(Bucket="s3tasks", Key="marker", Body=b"1"),
        lambda: temporary.put_object(Bucket="s3tasks", Key="files/a", Body=b"1"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            forbidden()


def test_hundreds_of_slow_uploads_close_storage_for_nobody(stack):
    head = (
        "POST /s3tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    place = ("127.0.0.1", stack.ports["MINIO_PORT"])
    with ExitStack() as lines:
        slow = [lines.enter_context(socket.create_connection(place)) for _ in range(400)]
        for line in slow:
            line.sendall(head.encode())
        start = time.monotonic()
        # MinIO lets a request wait for 10 s before it refuses it.
        while time.monotonic() < start + 12:
            visitor = Visitor(stack.page)
            visitor.upload_file("a.txt", b"honest")
            link = visitor.links("/files/")[0]
            assert requests.get(link, timeout=30).content == b"honest"
            assert requests.get(f"{stack.page}/readyz", timeout=30).status_code == 200
            for line in slow:
                line.sendall(b".")
        refused, _, _ = select.select(slow, [], [], 0)
    assert refused == []


def test_redis_asks_for_its_password_and_shows_it_to_no_process_list(stack):
    ask = ["exec", "-T", "redis", "env", "-u", "REDISCLI_AUTH", "redis-cli", "keys", "*"]
    assert "NOAUTH" in stack.compose(*ask)
    look = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    said = stack.compose("exec", "-T", "redis", "sh", "-c", look)
    assert "redis-server" in said
    for service in ("redis", "flower", "web", "worker", "beat"):
        said += stack.compose("logs", service)
    assert stack.env["REDIS_PASSWORD"] not in said


def test_what_postgres_says_of_an_error_holds_no_value(stack):
    refused = "INSERT INTO uploads_upload (id, name) VALUES (gen_random_uuid(), 'Aardvark')"
    command = ["exec", "-T", "postgres", "psql", "-U", "s3tasks", "-c", refused]
    stack.run("docker", "compose", *command, check=False)
    said = stack.compose("logs", "postgres")
    assert "violates not-null constraint" in said
    assert "Aardvark" not in said
